"""Pause a provider, let it go on, change the order of its queue."""

from collections.abc import Collection
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import F

from ai_tasks import clock, dispatch
from ai_tasks.models import AIGenerationTask
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState, Priority

MOVABLE = (EntryState.WAITING, EntryState.PARKED)
REASON_LENGTH = 150


@transaction.atomic
def pause(provider: str, *, by: str, reason: str, until: datetime | None = None, now: datetime | None = None) -> None:
    """Stop admission and starts at a provider, until then or `resume`; what runs goes on. The reason names who."""
    why = f"{reason[:REASON_LENGTH]} ({by[:40]})"
    TaskQueue.objects.pause(provider, reason=why, until=until, now=now or clock.now())


@transaction.atomic
def resume(provider: str) -> None:
    """Let a provider go on, at once."""
    TaskQueue.objects.resume(provider)
    transaction.on_commit(partial(dispatch.ring, provider), robust=True)


@transaction.atomic
def reorder(
    provider: str, task_ids: Collection[UUID] | None = None, priority: Priority | None = None, *, now: datetime
) -> int:
    """
    Give waiting tasks of a provider another priority, or, without any, derive its whole order anew; return how many.

    Task and entry move together. What was handed over already, and what waits elsewhere, stays.
    """
    if task_ids is None or priority is None:
        moved = TaskQueue.objects.reorder_by_priority(provider=provider)
    else:
        movable = QueueEntry.objects.of(provider).filter(task_id__in=task_ids, state__in=MOVABLE)
        chosen = list(movable.select_for_update().order_by("pk").values_list("task_id", flat=True))
        moved = TaskQueue.objects.reorder_by_priority(dict.fromkeys(chosen, priority))
        tasks = AIGenerationTask.objects.filter(pk__in=chosen)
        tasks.update(priority=priority, version=F("version") + 1, updated_at=now)
    transaction.on_commit(partial(dispatch.ring, provider), robust=True)
    return moved
