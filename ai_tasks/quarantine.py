"""
A process of its own for a task whose workers crashed twice: whatever it does there, it does to nobody else.

A worker has `manage.py run_alone` fork one for each, and waits. Only a crash of that process is the task's own doing
(policy.after_crash, docs/decisions/0012).
"""

import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from ai_tasks import clock, dispatch, finish_hooks, lease, process, settlement
from ai_tasks.models import AIGenerationTask
from queueing.models import QueueEntry
from queueing.states import EntryState, ParkedReason

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 660.0
"""A call's own limit of ten minutes, and one for what is before and after it."""
BUSY_WAIT = timedelta(seconds=5)
"""How long one that found the process busy is parked, unless it ends before."""
IDLE_SECONDS = 30.0
"""How long the process that forks stays after the last one."""
IN_LINE = 4
"""Of those that wait for their turn, so many are woken when one has ended."""
ALONE = "alone"
"""The key under which they wait."""

_one_at_a_time = threading.Lock()


class Zygote:
    """The process that is forked for each task: it has loaded everything, and holds no connection and no thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, *task: object) -> int:
        """Have a task run in a fork, and return its exit code, or minus the signal that ended it."""
        while True:
            process = self._started()
            if said := self._ask(process, *task):
                return int(said)
            self.close()
            # Without an error it ended for want of work, just before it was asked.
            if process.returncode:
                return process.returncode

    @staticmethod
    def _ask(process: Any, *task: object) -> str:
        try:
            print(*task, file=process.stdin, flush=True)
        except OSError:
            return ""
        said: str = process.stdout.readline()
        return said

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            self.close()
            command = [sys.executable, "-m", "django", "run_alone"]
            self._process = subprocess.Popen(
                command,
                cwd=settings.BASE_DIR,
                env={**os.environ, "AI_DISPATCHER": "false"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def hand_back(self) -> None:
        """Tell the task that runs, if one does, to stop and go back."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def close(self) -> None:
        """End it; a task that runs there yet ends first."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in filter(None, (process.stdin, process.stdout)):
            with suppress(OSError):
                pipe.close()
        process.wait()


zygote = Zygote()


def run(task_id: UUID, epoch: int, dispatch_id: UUID) -> bool:
    """
    Run one handed-over task in a new process; False when it could not, or crashed there.

    One at a time in each worker; while one runs, the next is given back, until it ends, without using up a try.
    """
    if not _one_at_a_time.acquire(blocking=False):
        _give_back(task_id, epoch, dispatch_id, clock.now())
        return False
    try:
        process.give_connection_back()
        code = zygote.run(task_id, epoch, dispatch_id)
        if code != 0:
            logger.error("The process in which task %s ran alone ended with %d.", task_id, code)
            _condemn(task_id, epoch, clock.now())
    finally:
        _one_at_a_time.release()
    QueueEntry.objects.wake_keys([(ParkedReason.RETRY_BACKOFF, ALONE)], most=IN_LINE)
    dispatch.ring_all()
    return code == 0


def stop() -> None:
    """Tell the running one that this worker drains: it hands its task back and ends."""
    zygote.hand_back()


def _give_back(task_id: UUID, epoch: int, dispatch_id: UUID, now: datetime) -> None:
    lease.decline(
        AIGenerationTask.objects.all(),
        task_id,
        epoch,
        dispatch_id=dispatch_id,
        until=now + BUSY_WAIT,
        key=ALONE,
        now=now,
    )


def _condemn(task_id: UUID, epoch: int, now: datetime) -> None:
    """Nobody needs to wait for the lease of a process that was seen to crash."""
    fence = QueueEntry.objects.held_as(task_id, epoch, EntryState.RUNNING).filter(is_quarantined=True)
    fence.update(leased_until=now - timedelta(seconds=1))
    if entry := fence.first():
        settlement.lose(AIGenerationTask.objects.all(), entry, now)
        finish_hooks.run_for(task_id)
