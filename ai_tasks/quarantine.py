"""
A process of its own for a task whose workers crashed twice: whatever it does there, it does to nobody else.

A worker starts `manage.py run_alone` and waits. Only a crash of that process is the task's own doing
(policy.after_crash, docs/decisions/0012).
"""

import logging
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from ai_tasks import clock, dispatch, finish_hooks, lease, process, settlement
from ai_tasks.models import AIGenerationTask
from queueing.models import QueueEntry
from queueing.states import EntryState

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 660.0
"""A call's own limit of ten minutes, and one for what is before and after it."""
BUSY_WAIT = timedelta(seconds=5)

_one_at_a_time = threading.Lock()
_children: "set[subprocess.Popen[bytes]]" = set()


def run(task_id: UUID, epoch: int, dispatch_id: UUID) -> bool:
    """
    Run one handed-over task in a new process; False when it could not, or crashed there.

    One at a time in each worker; while one runs, the next is given back for some seconds without using up a try.
    """
    if not _one_at_a_time.acquire(blocking=False):
        _give_back(task_id, epoch, dispatch_id, clock.now())
        return False
    try:
        code = _run_child([str(task_id), str(epoch), str(dispatch_id)])
    finally:
        _one_at_a_time.release()
    if code != 0:
        logger.error("The process in which task %s ran alone ended with %d.", task_id, code)
        _condemn(task_id, epoch, clock.now())
    dispatch.ring_all()
    return code == 0


def _run_child(arguments: list[str]) -> int:
    """Start the process, wait for its end, without a database connection, and return its exit code."""
    process.give_connection_back()
    command = [sys.executable, "-m", "django", "run_alone", *arguments]
    child = subprocess.Popen(command, cwd=settings.BASE_DIR, env={**os.environ, "AI_DISPATCHER": "false"})
    _children.add(child)
    try:
        return child.wait(LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
    finally:
        _children.discard(child)


def stop() -> None:
    """Tell the running ones that this worker drains: they hand their task back and end."""
    for child in list(_children):
        child.terminate()


def _give_back(task_id: UUID, epoch: int, dispatch_id: UUID, now: datetime) -> None:
    lease.decline(
        AIGenerationTask.objects.all(), task_id, epoch, dispatch_id=dispatch_id, until=now + BUSY_WAIT, now=now
    )


def _condemn(task_id: UUID, epoch: int, now: datetime) -> None:
    """Nobody needs to wait for the lease of a process that was seen to crash."""
    fence = QueueEntry.objects.held_as(task_id, epoch, EntryState.RUNNING).filter(is_quarantined=True)
    fence.update(leased_until=now - timedelta(seconds=1))
    if entry := fence.first():
        settlement.lose(AIGenerationTask.objects.all(), entry, now)
        finish_hooks.run_for(task_id)
