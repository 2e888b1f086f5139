"""The fault matrix: what happens for each kind of error is what docs/faults.md says."""

import json
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from config import drill
from config.chaos.invariants import violations_at_rest
from config.settings import BASE_DIR
from tests.providers.test_docs import KINDS


@pytest.mark.django_db(transaction=True)
def test_the_page_is_what_happens(alice: User, settings: Any) -> None:
    settings.AI_PROVIDERS = drill.providers()
    page = (BASE_DIR / "docs" / "faults.md").read_text(encoding="utf-8")

    rows = list(drill.run(alice))

    assert drill.in_page(page, rows) == page
    assert violations_at_rest() == []


def test_every_error_is_drilled_at_every_moment_or_said_to_be_impossible() -> None:
    assert list(drill.ERRORS) == [kind.code for kind in KINDS]
    assert len(drill.cases()) + len(drill.IMPOSSIBLE) == len(KINDS) * len(drill.WHEN)


@pytest.mark.django_db
def test_it_does_not_run_on_a_database_that_others_use(alice: User) -> None:
    with pytest.raises(CommandError, match="Not on this database"):
        call_command("drill", here=True)

    assert User.objects.get() == alice


@pytest.mark.stack
def test_the_command_prints_the_same_on_a_database_of_its_own() -> None:
    command = [sys.executable, str(BASE_DIR / "manage.py"), "drill", "--json"]

    done = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, timeout=120, check=True)

    rows = [drill.Row(**row) for row in json.loads(done.stdout)["drill"]]
    page = (BASE_DIR / "docs" / "faults.md").read_text(encoding="utf-8")
    assert drill.in_page(page, rows) == page
    assert done.stderr.splitlines()[-1] == f"{len(rows)} of {len(rows)}: quota_exhausted, mid-stream"
