"""Joining and leaving: how a process that runs tasks makes itself known and goes."""

import logging
import threading
import time
from datetime import datetime
from functools import partial

from ai_tasks import clock, dispatch, process, progress, quarantine
from ai_tasks.models import WorkerProcess
from ai_tasks.progress import ticker
from providers import control, gateway

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
"""How long running calls may go on after a stop before they are handed back."""


def join(queues: list[str], threads: int) -> None:
    """Tell that this process consumes these Celery queues with so many threads, keep telling it, and admit work."""
    now = clock.now()
    control.ensure_providers(now)
    WorkerProcess.objects.update_or_create(
        boot_id=process.boot_id(),
        defaults={
            "hostname": process.hostname(),
            "pid": process.pid(),
            "queues": queues,
            "threads": threads,
            "started_at": now,
            "last_seen_at": now,
        },
    )
    ticker.presence = partial(_renew_presence, queues, threads)
    ticker.start()
    dispatch.ring_all()
    process.give_connection_back()


def _renew_presence(queues: list[str], threads: int, now: datetime) -> None:
    seen = WorkerProcess.objects.filter(boot_id=process.boot_id()).update(last_seen_at=now)
    if not seen:
        join(queues, threads)


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
