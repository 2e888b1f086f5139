"""Pause a provider, drain it, let it go on, change the order of its queue."""

from collections.abc import Collection
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from ai_tasks import dispatch
from ai_tasks.models import AIGenerationTask
from ai_tasks.ops import audit
from ai_tasks.ops.audit import REASON_LENGTH, By, Kind
from ai_tasks.oversight.actions import Action
from ai_tasks.representation import moment
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState, Priority

MOVABLE = (EntryState.WAITING, EntryState.PARKED)
IDS_NOTED = 100
"""Of the tasks that one entry of the audit is about, so many are named."""


def pause_provider(provider: str, by: By, *, until: datetime | None = None) -> None:
    """Stop admission and starts at a provider, until then or `resume_provider`; what runs goes on."""
    _pause(provider, by, Action.PAUSE_PROVIDER, until)


def drain_provider(provider: str, by: By, *, until: datetime | None = None) -> None:
    """Stop admission at a provider, until then or `resume_provider`; what was handed over is still done."""
    _pause(provider, by, Action.DRAIN_PROVIDER, until)


@transaction.atomic
def _pause(provider: str, by: By, action: Action, until: datetime | None) -> None:
    before, is_draining = _standing(provider), action == Action.DRAIN_PROVIDER
    why = f"{by.reason[:REASON_LENGTH]} ({by.name[:40]})"
    TaskQueue.objects.pause(provider, reason=why, until=until, is_draining=is_draining, now=by.at)
    audit.write(by, action, Kind.PROVIDER, provider, before=before, after=_standing(provider))


@transaction.atomic
def resume_provider(provider: str, by: By) -> None:
    """Let a provider go on, at once."""
    before = _standing(provider)
    TaskQueue.objects.resume(provider)
    audit.write(by, Action.RESUME_PROVIDER, Kind.PROVIDER, provider, before=before, after=_standing(provider))
    transaction.on_commit(partial(dispatch.ring, provider), robust=True)


def _standing(provider: str) -> dict[str, Any]:
    """Return how the provider's queue stands, locked; its lanes are paused together."""
    queue = TaskQueue.objects.filter(provider=provider).select_for_update().order_by("pk").first()
    if queue is None or queue.paused_at is None:
        return {"paused": False}
    paused = {"paused": True, "until": moment(queue.paused_until), "reason": queue.pause_reason}
    return paused | ({"draining": True} if queue.is_draining else {})


@transaction.atomic
def reorder_queue(provider: str, by: By) -> int:
    """Derive the whole order of a provider's queue anew; return how many moved."""
    moved = TaskQueue.objects.reorder_by_priority(provider=provider)
    order = {"order": "derived anew"}
    audit.write(by, Action.REPRIORITISE, Kind.PROVIDER, provider, after=order, count=moved)
    transaction.on_commit(partial(dispatch.ring, provider), robust=True)
    return moved


@transaction.atomic
def reprioritise(task_ids: Collection[UUID], priority: Priority, by: By, *, provider: str = "") -> int:
    """
    Give waiting tasks, of one provider when it is given, another priority; return how many.

    What was handed over already, or has ended, stays.
    """
    before = move_to_class(task_ids, priority, provider=provider, now=by.at)
    kind, key = (Kind.TASK, next(iter(task_ids))) if len(task_ids) == 1 else (Kind.PROVIDER, provider)
    was = {str(task_id): Priority(old).word for task_id, old in list(before.items())[:IDS_NOTED]}
    after = {"priority": priority.word}
    audit.write(by, Action.REPRIORITISE, kind, key, before={"priorities": was}, after=after, count=len(before))
    return len(before)


def move_to_class(
    task_ids: Collection[UUID], priority: Priority, *, provider: str = "", now: datetime
) -> dict[UUID, int]:
    """
    Move waiting tasks and their entries to a class; return the class that each was of before.

    Part of the caller's transaction, which writes the audit.
    """
    entries = QueueEntry.objects.filter(task_id__in=task_ids, state__in=MOVABLE)
    chosen = entries.of(provider) if provider else entries
    rows = chosen.select_for_update().order_by("pk").values_list("task_id", "priority", "provider")
    found = {task_id: (was, where) for task_id, was, where in rows}
    TaskQueue.objects.reorder_by_priority(dict.fromkeys(found, priority))
    tasks = AIGenerationTask.objects.filter(pk__in=found)
    tasks.update(priority=priority, version=F("version") + 1, updated_at=now)
    for where in sorted({where for _, where in found.values()}):
        transaction.on_commit(partial(dispatch.ring, where), robust=True)
    return {task_id: was for task_id, (was, _) in found.items()}
