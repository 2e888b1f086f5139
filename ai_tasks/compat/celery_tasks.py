"""Celery's entry points of batches; not among ai_tasks.tasks, which stands below /v1."""

import threading
import time
from contextlib import closing
from typing import Any

from celery import shared_task

from ai_tasks import clock, crash_points
from ai_tasks.batches.models import Batch
from ai_tasks.compat import batch_work
from ai_tasks.tasks import JOB_SLICE_SECONDS

TURN_SECONDS = 2.0
"""How long one batch is gone on with while others are due."""
_only = threading.BoundedSemaphore(1)
"""Of the threads that sweeps use, one per process at most works on batches: the other is the sweeps' own."""


@shared_task(name="ai_tasks.work_on_batches", ignore_result=True)
def work_on_batches(**_: Any) -> None:
    """Go on with the batches that are due, in turns, for some seconds; not twice at once in a process."""
    if not _only.acquire(blocking=False):
        return
    try:
        give_up_at = time.monotonic() + JOB_SLICE_SECONDS
        while time.monotonic() < give_up_at:
            batch_id = Batch.objects.due(clock.now()).order_by("due_at").values_list("pk", flat=True).first()
            if batch_id is None:
                return
            _take_turn(batch_id, min(give_up_at, time.monotonic() + TURN_SECONDS))
    finally:
        _only.release()


def _take_turn(batch_id: Any, until: float) -> None:
    with closing(batch_work.carry_out(batch_id)) as pieces:
        for _ in pieces:
            crash_points.reached("batched")
            if time.monotonic() > until:
                return
