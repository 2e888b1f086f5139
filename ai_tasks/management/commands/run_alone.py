"""`manage.py run_alone [TASK EPOCH DISPATCH]`"""

import logging
import os
import select
import signal
import sys
import threading
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from ai_tasks import execution, progress, quarantine
from ai_tasks.progress import ticker
from providers import gateway

logger = logging.getLogger(__name__)

EXPIRED = 124
"""The exit code of a process that took too long, as timeout(1) has it."""
GRACE_SECONDS = 10
"""After that it is killed: its watchdog, too, may be held up."""


class Command(BaseCommand):
    """The process that ai_tasks.quarantine starts; told to stop, it hands the task back."""

    help = "Run one handed-over task alone in this process, or each that is named on a line of the input in a fork."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("task_id", type=UUID, nargs="?")
        parser.add_argument("epoch", type=int, nargs="?")
        parser.add_argument("dispatch_id", type=UUID, nargs="?")

    def handle(self, *, task_id: UUID | None, epoch: int, dispatch_id: UUID, **_: Any) -> None:
        """Run it to the end of this attempt; without one, say the exit code of each fork."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all: the worker decides
        if task_id is None:
            _Nursery().serve()
        else:
            _run(task_id, epoch, dispatch_id)


def _run(task_id: UUID, epoch: int, dispatch_id: UUID) -> None:
    signal.signal(signal.SIGTERM, _hand_back)
    _end_within(quarantine.LONGEST_SECONDS)
    try:
        execution.run(task_id, epoch, dispatch_id)
    finally:
        ticker.close()
        gateway.stop(5.0)


class _Nursery:
    """Forks, one at a time; it starts no thread and opens no connection, so that each fork is as good as new."""

    def __init__(self) -> None:
        self._child = 0
        # Whatever a task prints is not an answer to the worker.
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        signal.signal(signal.SIGTERM, lambda *_: self._kill(signal.SIGTERM))
        signal.signal(signal.SIGALRM, lambda *_: self._kill(signal.SIGKILL))

    def serve(self) -> None:
        """Go on until the input ends, or no task has come for some time."""
        while select.select([sys.stdin], [], [], quarantine.IDLE_SECONDS)[0] and (line := sys.stdin.readline()):
            task_id, epoch, dispatch_id = line.split()
            code = self._fork(UUID(task_id), int(epoch), UUID(dispatch_id))
            print(code, file=self._answers, flush=True)

    def _fork(self, *task: Any) -> int:
        self._child = os.fork()
        if not self._child:
            self._be_a_child(*task)
        signal.alarm(int(quarantine.LONGEST_SECONDS) + GRACE_SECONDS)
        _, status = os.waitpid(self._child, 0)
        signal.alarm(0)
        self._child = 0
        return os.waitstatus_to_exitcode(status)

    def _be_a_child(self, *task: Any) -> None:
        code = 1
        try:
            # The worker's end of a pipe is to close with the process that it started, whoever lives on.
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.close(self._answers.fileno())
            _run(*task)
            code = 0
        except BaseException:
            logger.exception("A task failed in a process of its own.")
        finally:
            logging.shutdown()
            os._exit(code)

    def _kill(self, how: int) -> None:
        if self._child:
            os.kill(self._child, how)


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
