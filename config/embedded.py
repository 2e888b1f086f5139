"""Celery's own worker and beat, inside the web process: the same code as apart, with an in-memory broker."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.beat import Scheduler, Service
from celery.worker import WorkController
from django.conf import settings

from ai_tasks import worker

logger = logging.getLogger(__name__)

STOP_SECONDS = 25.0


class _Controller(WorkController):
    """A worker that says when it consumes."""

    is_ready: threading.Event

    def on_before_init(self, **_: Any) -> None:
        """Make the event before the parts that set it."""
        self.is_ready = threading.Event()

    def on_consumer_ready(self, _: Any) -> None:
        """Let `start` go on."""
        self.is_ready.set()


class Embedded:
    """One worker and one beat, each in a thread."""

    def __init__(self, app: Celery) -> None:
        self._controller = _Controller(
            app=app,
            pool_cls="threads",
            concurrency=settings.CELERY_WORKER_CONCURRENCY,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel=logging.WARNING,
        )
        self._beat = Service(app, max_interval=1, scheduler_cls=Scheduler)
        self._threads = [self._thread("worker", self._controller.start), self._thread("beat", self._beat.start)]

    @staticmethod
    def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=target, name=name, daemon=True)

    def start(self) -> None:
        """Start both and make the worker known; return when it takes work."""
        for thread in self._threads:
            thread.start()
        if not self._controller.is_ready.wait(30):
            raise RuntimeError("The embedded Celery worker did not start within 30 seconds.")
        worker.join(worker.Intake(self._controller.consumer), settings.AI_WORKER_THREADS)

    def stop(self) -> None:
        """Let running tasks end for a while, hand the others back, and end both threads."""
        worker.drain()
        self._beat.stop()
        self._controller.stop()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        # The controller has sent worker_shutdown, on which ai_tasks.tasks leaves the registry.
