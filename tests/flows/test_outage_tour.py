"""`manage.py demo --outage simulator`: the provider fails, all that was accepted is done once it is back."""

import subprocess
import sys
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from ai_tasks import clock
from ai_tasks.models import WorkerProcess
from config.programs import Standalone
from config.stack import BASE_DIR
from providers import control, routing
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
def test_a_circuit_that_somebody_has_set_is_left_alone(providers_ready: None) -> None:
    now = clock.now()
    WorkerProcess.objects.create(
        boot_id=uuid4(), hostname="here", pid=1, queues=[], threads=1, started_at=now, last_seen_at=now
    )
    control.set_circuit_mode("simulator", "forced_open", now)

    with pytest.raises(CommandError, match="is not closed already"):
        call_command("demo", "--outage", "simulator", stdout=StringIO())

    assert routing.circuit("simulator")["mode"] == "forced_open"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("provider", "words"), [("openai", "not a simulated provider"), ("simulator", "No worker is running")]
)
def test_it_breaks_nothing_real_and_nothing_that_stands_still(provider: str, words: str, providers_ready: None) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("demo", "--outage", provider, stdout=StringIO())
