"""`manage.py demo --outage simulator`: the provider fails, all that was accepted is done once it is back."""

import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from config.programs import Standalone
from config.stack import BASE_DIR
from tests.flows.client import Api


@pytest.mark.stack
def test_what_was_accepted_in_the_outage_is_done_after_it(standalone: Standalone) -> None:
    command = [sys.executable, str(BASE_DIR / "manage.py"), "demo", "--outage", "simulator", "--seconds", "3"]

    done = subprocess.run(
        [*command, "--url", standalone.url], env=standalone.environment, capture_output=True, text=True, timeout=90
    )

    assert done.returncode == 0, done.stderr
    assert "Its circuit has opened by itself (unavailable)." in done.stdout
    assert f"{standalone.url}/admin/ops/providers/simulator/" in done.stdout
    assert "12 tasks wait; 3 seconds to go." in done.stdout
    assert "12 tasks were accepted, 12 are completed, 0 are not; " in done.stdout
    assert Api(standalone.url, standalone.api_key).submit("Are you back?", wait=10)["status"] == "completed"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("provider", "words"), [("openai", "not a simulated provider"), ("simulator", "No worker is running")]
)
def test_it_breaks_nothing_real_and_nothing_that_stands_still(provider: str, words: str, providers_ready: None) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("demo", "--outage", provider, stdout=StringIO())
