"""A tour of an outage: a simulated provider really fails, what is accepted meanwhile waits, and nothing is lost."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Count
from django.urls import reverse

from ai_tasks import clock, submission
from ai_tasks.models import AIGenerationTask, WorkerProcess
from ai_tasks.ops import audit, circuits
from ai_tasks.states import ACTIVE
from ai_tasks.submission import TaskRequest
from providers import routing

FAILING, WAITING = 6, 6
"""Tasks whose first call fails, one more than what opens a circuit; tasks that come while it is open."""
PATIENCE_SECONDS = 60.0
WHY = "The tour of an outage (manage.py demo --outage)."
LOOK = """
Look now, for {seconds} seconds:

  {url}{overview}
      the head says what is wrong, since when, how many wait
  {url}{provider}
      the circuit, the error that opened it, each move
  {url}{queues}
      who waits, in the order of their turn
  {url}/api/v1/tasks/{task}
      its owner reads: waiting.reason "circuit_open"
  {url}/metrics
      tasuki_circuit_state, tasuki_queue_blocked, tasuki_queue_oldest_wait_seconds
"""


class NoTour(Exception):
    """It cannot be made here; says why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of the tour's tasks."""

    tasks: int
    completed: int
    tried_again: int


def tour(provider: str, owner: User, tell: Callable[[str], object], *, seconds: int, url: str) -> Seen:
    """
    Let the provider fail, keep it down for so long, bring it back, and return what came of everybody's tasks.

    The provider comes back however this ends: by itself when the time is over, should this process be killed. Raises
    NoTour where no worker runs, the provider is a real one, or the circuit does not open.
    """
    _require(provider, clock.now())
    failing = {"fail": "unavailable", "fail_times": 1}
    tasks = [_submit(provider, owner, f"Call {number}, which fails.", failing) for number in range(FAILING)]
    tell(f"{FAILING} calls of {provider} fail ...")
    try:
        _wait_for(lambda: routing.circuit(provider)["state"] == "open", "The circuit did not open.")
        cause = routing.circuit(provider)["cause"]
        until = clock.now() + timedelta(seconds=seconds)
        circuits.force_circuit(provider, "forced_open", audit.by_system(WHY, clock.now()), until=until)
        tell(f"Its circuit has opened by itself ({cause}). {WAITING} more tasks are accepted, and wait.")
        tasks += [_submit(provider, owner, f"Question {number}, in the outage.", {}) for number in range(WAITING)]
        tell(_places(provider, tasks[-1], seconds, url))
        _stay(tasks, until, tell)
    finally:
        circuits.force_circuit(provider, "closed", audit.by_system(WHY, clock.now()))
    tell(f"{provider} is back.")
    _wait_for(lambda: not _of(tasks).filter(status__in=ACTIVE).exists(), "Some tasks have not ended yet.")
    return _seen(tasks)


def _require(provider: str, now: datetime) -> None:
    if settings.AI_PROVIDERS.get(provider, {}).get("adapter") != "simulator":
        raise NoTour(f"{provider} is not a simulated provider: only such a one is broken for show.")
    if not WorkerProcess.objects.live(now).exists():
        raise NoTour("No worker is running: start `make run` in another terminal first.")
    circuit = routing.circuit(provider)
    if (circuit["state"], circuit["mode"]) != ("closed", "auto"):
        raise NoTour(f"The circuit of {provider} is not closed already: what somebody has set is not undone for show.")


def _submit(provider: str, owner: User, prompt: str, script: dict[str, Any]) -> UUID:
    wish = {"prompt": prompt, "simulate": script}
    return submission.submit(owner, TaskRequest(type="text.generate", input=wish, model=f"{provider}/sim-1")).pk


def _of(tasks: list[UUID]) -> Any:
    return AIGenerationTask.objects.filter(pk__in=tasks)


def _wait_for(is_true: Callable[[], bool], otherwise: str) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_true():
        if time.monotonic() > give_up_at:
            raise NoTour(otherwise)
        threading.Event().wait(0.2)


def _places(provider: str, task: UUID, seconds: int, url: str) -> str:
    pages = {name: reverse(f"ops:{name}") for name in ("overview", "queues")}
    there = reverse("ops:provider", args=[provider])
    return LOOK.format(seconds=seconds, url=url.rstrip("/"), provider=there, task=task, **pages)


def _stay(tasks: list[UUID], until: datetime, tell: Callable[[str], object]) -> None:
    """Tell every ten seconds how it stands, until the time is over."""
    while (left := (until - clock.now()).total_seconds()) > 0:
        tell(f"{_of(tasks).filter(status__in=ACTIVE).count()} tasks wait; {left:.0f} seconds to go.")
        threading.Event().wait(min(10.0, left))


def _seen(tasks: list[UUID]) -> Seen:
    again = _of(tasks).annotate(tries_made=Count("attempts")).filter(tries_made__gt=1)
    return Seen(len(tasks), _of(tasks).filter(status="completed").count(), again.count())
