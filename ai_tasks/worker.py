"""Joining and leaving: how a process that runs tasks makes itself known and goes."""

import logging
import threading
import time
from datetime import datetime
from functools import partial
from typing import Any

from ai_tasks import clock, dispatch, process, progress, quarantine
from ai_tasks.capacity import celery_queue
from ai_tasks.models import WorkerProcess
from ai_tasks.progress import ticker
from providers import control, gateway, routing
from queueing.states import Lane

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
"""How long running calls may go on after a stop before they are handed back."""


class Intake:
    """The Celery queues that this process's consumer listens to; it can be told to listen to more."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._known: list[str] = []
        self.is_general = set(wanted()) <= set(self.queues())
        """Did it begin with the queues of all providers? Then it follows new ones."""

    def queues(self) -> list[str]:
        """Return the names of the tasks' queues; as before while the broker is away."""
        if listening := self._consumer.task_consumer:
            self._known = sorted(queue.name for queue in listening.queues if queue.name.startswith("ai."))
        return self._known

    def listen(self, name: str) -> None:
        """Listen to one more queue, soon: the consumer's own thread does it."""
        self._consumer.call_soon(self._add, name)

    def _add(self, name: str) -> None:
        made = self._consumer.app.amqp.queues[name]  # as whoever sends to it makes it; Celery would do otherwise
        self._consumer.add_task_queue(made.name)


def wanted() -> list[str]:
    """Return the names of all providers' queues, as they are configured now."""
    return sorted(celery_queue(provider, lane) for provider in routing.slugs() for lane in Lane.values)


def join(intake: Intake, threads: int) -> None:
    """Tell that this process takes work with so many threads, keep telling it, and admit work."""
    now = clock.now()
    control.ensure_providers(now)
    WorkerProcess.objects.update_or_create(
        boot_id=process.boot_id(),
        defaults={
            "hostname": process.hostname(),
            "pid": process.pid(),
            "queues": intake.queues(),
            "threads": threads,
            "started_at": now,
            "last_seen_at": now,
        },
    )
    ticker.presence = partial(_renew_presence, intake, threads)
    ticker.start()
    dispatch.ring_all()
    process.give_connection_back()


def _renew_presence(intake: Intake, threads: int, now: datetime) -> None:
    queues = intake.queues()
    if intake.is_general and (new := [name for name in wanted() if name not in queues]):
        control.ensure_providers(now)  # its limits first: nothing is admitted to a provider that nobody listens for
        for name in new:
            intake.listen(name)
    if not WorkerProcess.objects.filter(boot_id=process.boot_id()).update(last_seen_at=now, queues=queues):
        join(intake, threads)


def drain() -> None:
    """Take no more work; let running calls end for a while, then hand the rest back without using up a try."""
    WorkerProcess.objects.filter(boot_id=process.boot_id()).update(stopping_at=clock.now())
    process.give_connection_back()
    threading.Thread(target=_hand_back_late_calls, name="drain", daemon=True).start()


def _hand_back_late_calls() -> None:
    give_up_at = time.monotonic() + DRAIN_SECONDS
    pause = threading.Event()
    while ticker.calls() and time.monotonic() < give_up_at:
        pause.wait(0.1)
    # Messages that were fetched before the drain begin late: stop those too.
    while True:
        ticker.stop_all(progress.DRAINED)
        quarantine.stop()
        pause.wait(0.1)


def leave() -> None:
    """Stop the process's own threads and strike it from the registry."""
    dispatch.dispatcher.close()
    ticker.presence = None
    ticker.close()
    gateway.stop(5.0)
    WorkerProcess.objects.filter(boot_id=process.boot_id()).delete()
    process.give_connection_back()
