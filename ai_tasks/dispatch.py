"""Stations 2 and 3: one thread a process that admits what has room and hands it to Celery."""

import logging
import math
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from ai_tasks import admission, clock, crash_points, diversion, process
from ai_tasks.admission import Dispatch, Plan, Workers
from ai_tasks.capacity import celery_queue
from ai_tasks.doorbell import Doorbell, doorbell
from ai_tasks.models import AIGenerationTask, WorkerProcess
from providers import routing
from queueing.models import TaskQueue

logger = logging.getLogger(__name__)

RUN_TASK, RUN_ALONE_TASK = "ai_tasks.run_task", "ai_tasks.run_alone"
PUBLISH_SECONDS = 2.0
"""How long RabbitMQ may take to confirm a message."""
IDLE_SECONDS = 60.0
"""How long the thread sleeps when nothing is known to come; beat rings well before."""
RESTS = 1.0
"""
How many times its length a plan is followed by rest while more waits than there is room for.

It costs the same for one entry as for thirty, and so do begin and settle: more come free meanwhile. An entry that finds
room is not made to wait: it finds nobody resting.
"""
AGAIN_SECONDS = 0.05
"""When to look again after the provider's lock was busy."""


class PublishBreaker:
    """Stops publishing for a while after three failures: a broker that is away must not hold every round up."""

    FAILURES = 3
    PAUSE_SECONDS = 2.0

    def __init__(self) -> None:
        self._failures = 0
        self._closed_until = 0.0

    def is_open(self) -> bool:
        """Is the broker being left alone?"""
        return time.monotonic() < self._closed_until

    def note(self, *, is_sent: bool) -> None:
        """Count an outcome."""
        self._failures = 0 if is_sent else self._failures + 1
        if self._failures >= self.FAILURES:
            self._closed_until = time.monotonic() + self.PAUSE_SECONDS


breaker = PublishBreaker()


class Unsent:
    """What the broker did not take, by dispatch id."""

    MOST = 10_000
    AGAIN_SECONDS = 0.5

    def __init__(self) -> None:
        self._kept: dict[UUID, Dispatch] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, dispatch: Dispatch) -> None:
        """Remember one; what is beyond MOST is left to the sweep."""
        if len(self._kept) < self.MOST:
            self._kept[dispatch.dispatch_id] = dispatch

    def send(self) -> None:
        """Send all, up to the first that is not taken now either."""
        for each in [*self._kept.values()]:
            if not send(each):
                return
            self._kept.pop(each.dispatch_id, None)


unsent = Unsent()


def send(dispatch: Dispatch) -> bool:
    """
    Hand one entry to Celery within about two seconds; False when the broker did not take it.

    What was not sent stays `queued`: the dispatcher sends the same dispatch id as soon as the broker is back, and the
    sweep does if this process is gone by then. Who gets it twice begins it once.
    """
    if breaker.is_open():
        unsent.keep(dispatch)
        return False
    try:
        with current_app.producer_or_acquire() as producer:
            _publish(producer, dispatch)
    except Exception as error:
        logger.warning("Task %s was not handed to the broker: %s", dispatch.task_id, error)
        breaker.note(is_sent=False)
        unsent.keep(dispatch)
        return False
    breaker.note(is_sent=True)
    return True


def _publish(producer: Any, dispatch: Dispatch) -> None:
    try:
        current_app.send_task(
            RUN_ALONE_TASK if dispatch.is_alone else RUN_TASK,
            kwargs={
                "task_id": str(dispatch.task_id),
                "epoch": dispatch.epoch,
                "dispatch_id": str(dispatch.dispatch_id),
            },
            task_id=str(dispatch.dispatch_id),
            queue=celery_queue(dispatch.provider, dispatch.lane),
            ignore_result=True,
            producer=producer,
            retry=False,
            confirm_timeout=PUBLISH_SECONDS,
            # What monitors show; Celery's own way to it takes longer than the message.
            argsrepr="",
            kwargsrepr=f"{dispatch.task_id}.{dispatch.epoch}",
        )
    except Exception:
        # A late confirmation would be taken for the next message's.
        producer.connection.collect()
        raise


class Diverter:
    """Diverts what should not wait at a provider, once a second at most, however often the bell rings."""

    EVERY_SECONDS = 1.0

    def __init__(self) -> None:
        self._looked_at: dict[str, float] = {}
        self._applies: dict[str, bool] = {}

    def look(self, provider: str, workers: Workers, now: datetime) -> datetime | None:
        """Divert if it is time to; return when to look again, None where nothing would leave."""
        since_seconds = time.monotonic() - self._looked_at.get(provider, -math.inf)
        if since_seconds >= self.EVERY_SECONDS:
            self._looked_at[provider], since_seconds = time.monotonic(), 0.0
            moved = diversion.divert(AIGenerationTask.objects.all(), provider, workers=workers, now=now)
            self._applies[provider] = moved is not None
        return now + timedelta(seconds=self.EVERY_SECONDS - since_seconds) if self._applies.get(provider) else None


diverter = Diverter()


def admit(provider: str, *, now: datetime | None = None) -> Plan:
    """Admit what one provider has room for and send it; return what was done, and when to look again."""
    at = now or clock.now()
    outlook = TaskQueue.objects.outlook(provider)
    if not outlook.has_waiting and (outlook.next_due is None or outlook.next_due > at):
        return Plan(next_wake_at=outlook.next_due)
    workers = WorkerProcess.objects.consumers(at)
    tasks = AIGenerationTask.objects.all()
    plan = admission.plan(tasks, provider, workers=workers, next_due=outlook.next_due, now=now)
    crash_points.reached("planned")
    for each in plan.dispatches:
        send(each)
        crash_points.reached("sent")
    if plan.has_more:
        plan.wake_at(diverter.look(provider, workers, at))
    return plan


class Dispatcher:
    """The thread: sleeps until the bell rings or the time that the last plans named."""

    def __init__(self, bell: Doorbell) -> None:
        self._bell = bell
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._wake_at: dict[str, float] = {}
        self._rests_until: dict[str, float] = {}

    def start(self) -> None:
        """Start the thread, once; rings that came before are answered."""
        with self._lock:
            if self._is_closed or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread for good."""
        self._is_closed = True
        self._bell.close()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._is_closed:
            for provider in self._due(self._bell.wait(self._sleep_seconds())):
                self._admit(provider)
            unsent.send()
            process.give_connection_back()

    def _sleep_seconds(self) -> float:
        soonest = min(self._wake_at.values(), default=time.monotonic() + IDLE_SECONDS)
        longest = Unsent.AGAIN_SECONDS if unsent else IDLE_SECONDS
        return min(max(soonest - time.monotonic(), 0.0), longest)

    def _due(self, rung: Iterable[str]) -> set[str]:
        for provider in rung:
            self._wake_at[provider] = min(self._wake_at.get(provider, math.inf), self._rests_until.get(provider, 0.0))
        now = time.monotonic()
        due = {provider for provider, at in self._wake_at.items() if at <= now}
        for provider in due:
            del self._wake_at[provider]
        return due

    def _admit(self, provider: str) -> None:
        began = time.monotonic()
        try:
            started = clock.now()
            plan = admit(provider)
        except (DatabaseError, InterfaceError) as error:
            # The lock was busy for a second, or the database is away; what rang is still to be answered.
            logger.info("Admission of %s will be tried again: %s", provider, error)
            process.give_connection_back()
            self._wake_at[provider] = time.monotonic() + AGAIN_SECONDS
            return
        except Exception:
            logger.exception("Admission of %s failed.", provider)
            self._wake_at[provider] = time.monotonic() + 1.0
            return
        ended = time.monotonic()
        if plan.has_more:
            self._rests_until[provider] = ended + RESTS * (ended - began)
        if plan.next_wake_at is not None:
            seconds = max((plan.next_wake_at - started) / timedelta(seconds=1), 0.005)
            self._wake_at[provider] = time.monotonic() + seconds


dispatcher = Dispatcher(doorbell)


def ring(provider: str) -> None:
    """Wake the process's dispatcher for a provider, starting it when need be. Never blocks; call it after a commit."""
    if settings.AI_DISPATCHER:
        doorbell.ring(provider)
        dispatcher.start()


def go_first() -> None:
    """Let this process's dispatcher, which was rung for just now, go before the caller's answer; some milliseconds."""
    if settings.AI_DISPATCHER:
        doorbell.let_answer()


def ring_all() -> None:
    """Wake it for every configured provider."""
    for provider in routing.slugs():
        ring(provider)
