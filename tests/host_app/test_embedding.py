"""A host's row, its task and the task's queue entry are written together; what came of it comes back, at least once."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from ai_tasks import finish_hooks, submission
from ai_tasks.errors import UnknownTaskType
from ai_tasks.models import AIGenerationTask, FinishHook
from ai_tasks.submission import TaskRequest
from ai_tasks.task_types import registry
from config.settings import BASE_DIR
from providers.errors import BadRequest
from queueing.models import QueueEntry
from tests.engine import NOW, answer, at, claimed, run_admitted
from tests.host_app import work
from tests.host_app.models import Summary

FOLDER = BASE_DIR / "tests" / "host_app"
WISH = {"text": "The Rhine rises in the Alps and flows into the North Sea."}

pytestmark = [pytest.mark.urls("tests.host_app.urls"), pytest.mark.usefixtures("providers_ready")]
tasks = AIGenerationTask.objects
troubles: list[Exception] = []


def reluctant(task_id: UUID) -> None:
    """Fail as often as the test says, after having written something, then do as the host does."""
    if troubles:
        with transaction.atomic():
            Summary.objects.filter(task_id=task_id).update(summary="half")
            raise troubles.pop()
    work.on_finished(task_id)


RELUCTANT = replace(work.SUMMARY, on_finished=reluctant)


@pytest.fixture
def _reluctant(settings: Any) -> Iterator[None]:
    settings.AI_TASK_TYPES = [f"{__name__}.RELUCTANT"]
    registry.all_types.cache_clear()
    yield
    registry.all_types.cache_clear()


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    """Alice, logged in."""
    client.force_login(alice)
    return client


def ask(browser: Client, wish: Any = WISH) -> Any:
    return browser.post("/summaries", wish, content_type="application/json")


def summarised(owner: User) -> Summary:
    with transaction.atomic():
        task = submission.submit(owner, TaskRequest(type="host.summary", input=WISH), now=NOW)
        return Summary.objects.create(owner=owner, text=WISH["text"], task_id=task.pk)


def end(summary: Summary) -> None:
    """Settle its task, and kill the worker before it runs the hook."""
    assert tasks.complete(summary.task_id, claimed().epoch, answer("Short."), now=at(1))


def rows() -> tuple[int, int, int]:
    return Summary.objects.count(), tasks.count(), QueueEntry.objects.count()


@pytest.mark.django_db(transaction=True)
def test_a_wish_becomes_a_summary(browser: Client) -> None:
    made = ask(browser, WISH | {"simulate": {"text": "From the Alps to the sea."}})

    assert (made.status_code, made.json()["state"]) == (201, "waiting")
    assert run_admitted() == 1
    shown = browser.get(f"/summaries/{made.json()['id']}").json()
    assert (shown["state"], shown["summary"]) == ("ready", "From the Alps to the sea.")


def test_what_does_not_fit_the_schema_writes_nothing(browser: Client) -> None:
    refused = ask(browser, {"text": "", "sentences": 50})

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert rows() == (0, 0, 0)


def test_row_task_and_entry_vanish_together(alice: User) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        summarised(alice)
        assert rows() == (1, 1, 1)
        raise RuntimeError("the host changed its mind")

    assert rows() == (0, 0, 0)


def test_the_type_is_the_hosts_alone(alice: User) -> None:
    with pytest.raises(UnknownTaskType):
        submission.submit(alice, TaskRequest(type="host.summary", input=WISH), is_public=True)


def test_a_crash_between_the_end_and_the_hook_is_made_good_by_the_sweep(alice: User) -> None:
    summary = summarised(alice)
    end(summary)
    assert (FinishHook.objects.count(), Summary.objects.get().state) == (1, "waiting")

    assert finish_hooks.run_due(at(60)) == 1

    found = Summary.objects.get()
    assert (found.state, found.summary, FinishHook.objects.count()) == ("ready", "Short.", 0)


@pytest.mark.usefixtures("_reluctant")
def test_a_hook_that_raises_twice_is_called_a_third_time(alice: User) -> None:
    summary = summarised(alice)
    end(summary)
    troubles[:] = [ValueError("again"), ValueError("not now")]

    ran = [finish_hooks.run_due(at(seconds)) for seconds in (60, 3600, 7200)]

    assert ran == [0, 0, 1]
    found = Summary.objects.get()
    assert (found.state, found.summary) == ("ready", "Short.")


def test_a_hook_that_is_called_again_changes_nothing(alice: User) -> None:
    summary = summarised(alice)
    end(summary)
    finish_hooks.run_due(at(60))
    Summary.objects.update(summary="Edited by hand.")

    work.on_finished(summary.task_id)

    assert Summary.objects.get().summary == "Edited by hand."


def test_a_failure_is_taken_over_too(alice: User) -> None:
    summary = summarised(alice)
    tasks.fail(summary.task_id, claimed().epoch, BadRequest("No."), now=at(1))

    finish_hooks.run_due(at(60))

    assert Summary.objects.get().state == "failed"


def test_another_persons_summary_is_not_shown(client: Client, alice: User, bob: User) -> None:
    summary = summarised(alice)
    client.force_login(bob)

    assert client.get(f"/summaries/{summary.pk}").status_code == 404


def test_the_hosts_settings_stand_and_its_migration_is_complete(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "TASUKI_VAR": str(tmp_path), "PYTHONPATH": str(BASE_DIR)}
    settings = ("--settings", "tests.host_app.settings")
    command = [sys.executable, "manage.py", "makemigrations", "host_app", "--check", "--dry-run", *settings]

    done = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_document_shows_the_code_that_is_tested() -> None:
    text = (BASE_DIR / "docs" / "embedding.md").read_text(encoding="utf-8")
    shown = re.findall(r"`mysite/(\w+\.py)`[^\n]*\n\n```python\n(.*?)```", text, re.DOTALL)

    assert [name for name, _ in shown] == ["models.py", "work.py", "views.py", "settings.py"]
    for name, block in shown:
        stored = (FOLDER / name).read_text(encoding="utf-8").replace("tests.host_app", "mysite")
        for paragraph in block.replace("  # noqa: F403", "").strip().split("\n\n\n"):
            assert paragraph in stored.replace("  # noqa: F403", ""), f"{name}: {paragraph}"


def test_the_documents_request_is_what_the_view_takes(browser: Client) -> None:
    text = (BASE_DIR / "docs" / "embedding.md").read_text(encoding="utf-8")
    (wish,) = re.findall(r"-d '(\{.*\})'", text)

    assert ask(browser, json.loads(wish)).status_code == 201
