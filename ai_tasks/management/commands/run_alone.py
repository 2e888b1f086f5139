"""`manage.py run_alone TASK EPOCH DISPATCH`"""

import os
import signal
import threading
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from ai_tasks import execution, progress, quarantine
from ai_tasks.progress import ticker
from providers import gateway

EXPIRED = 124
"""The exit code of a process that took too long, as timeout(1) has it."""


class Command(BaseCommand):
    """The process that ai_tasks.quarantine starts; told to stop, it hands the task back."""

    help = "Run one handed-over task alone in this process. Workers start it for tasks that crashed them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("task_id", type=UUID)
        parser.add_argument("epoch", type=int)
        parser.add_argument("dispatch_id", type=UUID)

    def handle(self, *, task_id: UUID, epoch: int, dispatch_id: UUID, **_: Any) -> None:
        """Run it to the end of this attempt."""
        signal.signal(signal.SIGTERM, _hand_back)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches both: the worker decides
        _end_within(quarantine.LONGEST_SECONDS)
        try:
            execution.run(task_id, epoch, dispatch_id)
        finally:
            ticker.close()
            gateway.stop(5.0)


def _end_within(seconds: float) -> None:
    """End the process by then, whatever holds it up: the worker that would may have died, the database be gone."""
    watchdog = threading.Timer(seconds, os._exit, (EXPIRED,))
    watchdog.daemon = True
    watchdog.start()


def _hand_back(*_: object) -> None:
    """Stop the call from a thread: the interrupted one may hold the ticker's lock, or be about to begin the call."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_stop_calls, name="drain", daemon=True).start()


def _stop_calls() -> None:
    pause = threading.Event()
    while True:
        ticker.stop_all(progress.DRAINED)
        pause.wait(0.1)
