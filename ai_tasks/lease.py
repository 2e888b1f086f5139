"""
The right to run a task: begin it, keep it, give it back. Every write is fenced by (task, epoch, state).

The functions take the tasks' QuerySet, so that the repository's own verbs can call them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, F, QuerySet
from django.db.models.functions import Coalesce

from ai_tasks import breaker, chunks, continuing, crash_points, doorbell, events
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Attempt, AttemptState
from ai_tasks.chunks import Piece
from ai_tasks.states import ChunkKind, TaskStatus
from providers import routing
from queueing.models import QueueEntry, TaskQueue
from queueing.statements import Param, Update
from queueing.states import EntryState, ParkedReason


@dataclass(frozen=True, slots=True)
class Lease:
    """A begun attempt: what its worker needs to know."""

    task: Any
    epoch: int
    next_seq: int
    max_output_tokens: int
    begun: str = ""
    """What earlier attempts said, and this one goes on from."""


def announce(task: Any, status: str, *, frees_capacity: bool = True) -> None:
    """Publish the task's move and, where it may let another start, wake the dispatcher; after the commit."""
    told = partial(
        events.send_task_updated,
        task_id=task.pk,
        owner_id=task.owner_id,
        related_type=task.related_type,
        related_id=task.related_id,
        status=status,
    )
    transaction.on_commit(told, robust=True)
    if frees_capacity:
        transaction.on_commit(partial(doorbell.ring, task.provider), robust=True)


@transaction.atomic
def begin(tasks: Any, task_id: UUID, epoch: int, *, dispatch_id: UUID, worker: UUID, now: datetime) -> Lease | None:
    """
    Turn a queued entry into a running one leased to this worker; None when it is not ours to run, or not now.

    A gate that closed since admission (pause, circuit, Retry-After) gives the entry back without using up a try.
    """
    until = now + settings.AI_LEASE
    begun = QueueEntry.objects.begin(task_id, epoch, dispatch_id=dispatch_id, worker=worker, until=until)
    if not begun:
        return None
    entry = begun[0]
    if is_shut(entry, now):
        give_back(tasks, entry, now)
        return None
    moved = _start_task(tasks.model).rows(task_id=task_id, epoch=epoch, now=now)
    if not moved:
        raise RuntimeError(f"Task {task_id} is not pending although its entry is queued.")
    _start_attempt.run({"task_id": task_id, "epoch": epoch, "now": now, "worker": worker})
    task = moved[0]
    announce(task, TaskStatus.PROCESSING, frees_capacity=False)
    crash_points.reached("beginning")
    return _lease(task, epoch, entry.max_output_tokens)


@cache
def _start_task(model: Any) -> Update[Any]:
    return Update(
        lambda: model.objects.all().held_as(Param("task_id"), Param("epoch"), TaskStatus.PENDING),
        status=TaskStatus.PROCESSING,
        started_at=Coalesce(F("started_at"), Param("now"), output_field=DateTimeField()),
        updated_at=Param("now"),
    )


_start_attempt = Update(
    lambda: Attempt.objects.of_lease(Param("task_id"), Param("epoch")),
    state=AttemptState.STARTED,
    started_at=Param("now"),
    worker=Param("worker"),
)


def _lease(task: Any, epoch: int, max_output_tokens: int) -> Lease:
    newest = task.chunks.order_by("-seq").first() if epoch > 1 else None
    if newest is None or newest.kind == ChunkKind.RESET:
        return Lease(task, epoch, newest.seq + 1 if newest else 1, max_output_tokens)
    if begun := continuing.taken_up(task, max_output_tokens):
        return Lease(task, epoch, newest.seq + 1, begun.max_output_tokens, begun.text)
    reason = task.error["code"] if task.error else "worker_lost"
    reset = Piece(newest.seq + 1, epoch, ChunkKind.RESET, reason)
    chunks.write(task, [reset])
    transaction.on_commit(partial(events.send_chunks, task.pk, [reset]), robust=True)
    return Lease(task, epoch, reset.seq + 1, max_output_tokens)


def is_shut(entry: QueueEntry, now: datetime) -> bool:
    """Has a gate of the provider or its model closed since the entry was admitted? A probe passes its circuit."""
    if not TaskQueue.objects.queue(entry.provider, entry.lane).lets_begin(now):
        return True
    gates = routing.gates(entry.provider, now)
    shut = {model for model in ("", entry.model) if model in gates and gates[model].reason}
    if not shut:
        return False
    attempt = Attempt.objects.of_lease(entry.task_id, entry.epoch).first()
    tried = {model for model in breaker.probed(attempt) if gates[model].is_probing} if attempt else set()
    return not shut <= tried


def give_back(tasks: QuerySet[Any], entry: QueueEntry, now: datetime, *, until: datetime | None = None) -> bool:
    """
    Make an entry that was handed over wait again, at its old place: its attempt never started, and costs no try.

    Part of the caller's transaction, which has the entry locked, in the state that `entry` shows.
    """
    fence = QueueEntry.objects.held_as(entry.task_id, entry.epoch, EntryState(entry.state))
    moved = fence.park(reason=ParkedReason.RETRY_BACKOFF, until=until) if until else fence.wake()
    if not moved:
        return False
    tasks.filter(pk=entry.task_id).update(deferrals=F("deferrals") + 1)
    release_attempt(entry, now)
    transaction.on_commit(partial(doorbell.ring, entry.provider), robust=True)
    return True


@transaction.atomic
def decline(
    tasks: QuerySet[Any], task_id: UUID, epoch: int, *, dispatch_id: UUID, until: datetime, now: datetime
) -> bool:
    """Give a handed-over entry back until then, without using up a try; False when it was not ours to run."""
    fence = QueueEntry.objects.held_as(task_id, epoch, EntryState.QUEUED).filter(dispatch_id=dispatch_id)
    entry = fence.select_for_update().first()
    return entry is not None and give_back(tasks, entry, now, until=until)


def release_attempt(entry: QueueEntry, now: datetime) -> None:
    """End the attempt of an entry that was handed over but not begun: it costs nothing."""
    for attempt in Attempt.objects.of_lease(entry.task_id, entry.epoch).filter(state=AttemptState.ADMITTED):
        Attempt.objects.filter(pk=attempt.pk).update(state=AttemptState.RELEASED)
        budgets.settle(attempt, budgets.ZERO, now)
        breaker.end_probe(attempt)


DEADLINE_GRACE = timedelta(seconds=30)
"""How long past its deadline a running task may still be settled before its lease is not renewed any more."""


def renew(leases: list[tuple[UUID, int]], *, worker: UUID, lease: timedelta, now: datetime) -> set[tuple[UUID, int]]:
    """
    Extend these (task, epoch) leases of this worker and return those that still are its own.

    One whose deadline has passed is not: whoever holds on to it loses it, and the rescue times the task out.
    Rows that somebody else has locked are passed over and count as kept: one slow row must not cost the others theirs.
    """
    if not leases:
        return set()
    mine = QueueEntry.objects.running().filter(worker=worker, deadline_at__gt=now - DEADLINE_GRACE)
    mine = mine.filter(task_id__in=[task_id for task_id, _ in leases])
    with transaction.atomic():
        free = list(mine.select_for_update(skip_locked=True).values_list("pk", flat=True))
        QueueEntry.objects.filter(pk__in=free).update(leased_until=now + lease)
    return set(mine.values_list("task_id", "epoch")) & set(leases)
