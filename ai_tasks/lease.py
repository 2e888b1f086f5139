"""
The right to run a task: begin it, keep it, give it back. Every write is fenced by (task, epoch, state).

The functions take the tasks' QuerySet, so that the repository's own verbs can call them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from ai_tasks import breaker, chunks, continuing, crash_points, doorbell, events
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Attempt, AttemptState
from ai_tasks.chunks import Piece
from ai_tasks.states import ChunkKind, TaskStatus
from providers import routing
from providers.types import Gate
from queueing.entries import Handed
from queueing.models import QueueEntry, TaskQueue
from queueing.statements import UpdateEach
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


def begin(tasks: Any, task_id: UUID, epoch: int, *, dispatch_id: UUID, worker: UUID, now: datetime) -> Lease | None:
    """
    Turn a queued entry into a running one leased to this worker; None when it is not ours to run, or not now.

    A gate that closed since admission (pause, circuit, Retry-After) gives the entry back without using up a try.
    """
    (begun,) = _begin(tasks, [Handed(task_id, epoch, dispatch_id)], worker, now, waits=True)
    return begun


def begin_all(tasks: Any, handed: Sequence[Handed], *, worker: UUID, now: datetime) -> list[Lease | None]:
    """
    Do so for several in one transaction; an entry that somebody else has locked is left to `begin`.

    Raises RuntimeError, and begins none, where somebody else has a task of theirs locked.
    """
    return _begin(tasks, handed, worker, now, waits=False)


@transaction.atomic
def _begin(tasks: Any, handed: Sequence[Handed], worker: UUID, now: datetime, *, waits: bool) -> list[Lease | None]:
    move = QueueEntry.objects.begin if waits else QueueEntry.objects.begin_free
    entries = move(handed, worker=worker, until=now + settings.AI_LEASE)
    if not entries:
        return [None] * len(handed)
    shut = _shut(entries, now)
    for entry in shut:
        give_back(tasks, entry, now)
    begun = {entry.task_id: entry for entry in entries if entry not in shut}
    moves = {"status": TaskStatus.PROCESSING, "state": AttemptState.STARTED, "now": now, "worker": worker}
    rows = [{"task_id": entry.task_id, "epoch": entry.epoch, **moves} for entry in begun.values()]
    started = {task.pk: task for task in _start_task(tasks.model, waits).rows(rows)}
    if missing := begun.keys() - started.keys():
        raise RuntimeError(f"Locked, or not pending although their entries are queued: {', '.join(map(str, missing))}.")
    _start_attempt.run(rows)
    for task in started.values():
        announce(task, TaskStatus.PROCESSING, frees_capacity=False)
    if started:
        crash_points.reached("beginning")
    # A doubled message finds nothing.
    return [_taken(each, begun, started) for each in handed]


def _taken(handed: Handed, begun: dict[UUID, QueueEntry], started: Mapping[UUID, Any]) -> Lease | None:
    """Take what the message names out of what has begun, and return its lease; None: it is not there."""
    entry = begun.get(handed.task_id)
    if entry is None or (entry.epoch, entry.dispatch_id) != handed[1:]:
        return None
    del begun[handed.task_id]
    return _lease(started[handed.task_id], entry.epoch, entry.max_output_tokens)


@cache
def _start_task(model: Any, waits: bool) -> UpdateEach[Any]:
    return UpdateEach(
        model,
        where={"id": "task_id", "epoch": "epoch"},
        sets={"status": "status", "updated_at": "now"},
        once={"started_at": "now"},
        only={"status": TaskStatus.PENDING},
        skips_locked=not waits,
    )


_start_attempt = UpdateEach(
    Attempt,
    where={"task": "task_id", "epoch": "epoch"},
    sets={"state": "state", "started_at": "now", "worker": "worker"},
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


def _shut(entries: Sequence[QueueEntry], now: datetime) -> list[QueueEntry]:
    """Return the entries of which a gate of provider or model has closed since they were admitted."""
    queues = {place: TaskQueue.objects.queue(*place) for place in {(each.provider, each.lane) for each in entries}}
    gates = {provider: routing.gates(provider, now) for provider in {each.provider for each in entries}}
    return [
        entry
        for entry in entries
        if not queues[entry.provider, entry.lane].lets_begin(now) or _is_shut_for(entry, gates[entry.provider])
    ]


def _is_shut_for(entry: QueueEntry, gates: Mapping[str, Gate]) -> bool:
    """Is a circuit open for the entry? A probe passes the one that it is to try."""
    shut = {model for model in ("", entry.model) if model in gates and gates[model].reason}
    if not shut:
        return False
    attempt = Attempt.objects.of_lease(entry.task_id, entry.epoch).first()
    tried = {model for model in breaker.probed(attempt) if gates[model].is_probing} if attempt else set()
    return not shut <= tried


def give_back(
    tasks: QuerySet[Any], entry: QueueEntry, now: datetime, *, until: datetime | None = None, key: str = ""
) -> bool:
    """
    Make an entry that was handed over wait again, at its old place: its attempt never started, and costs no try.

    Part of the caller's transaction, which has the entry locked, in the state that `entry` shows.
    """
    fence = QueueEntry.objects.held_as(entry.task_id, entry.epoch, EntryState(entry.state))
    moved = fence.park(reason=ParkedReason.RETRY_BACKOFF, key=key, until=until) if until else fence.wake()
    if not moved:
        return False
    tasks.filter(pk=entry.task_id).update(deferrals=F("deferrals") + 1)
    release_attempt(entry, now)
    transaction.on_commit(partial(doorbell.ring, entry.provider), robust=True)
    return True


@transaction.atomic
def decline(
    tasks: QuerySet[Any], task_id: UUID, epoch: int, *, dispatch_id: UUID, until: datetime, now: datetime, key: str = ""
) -> bool:
    """
    Give a handed-over entry back until then, or until its key is woken, without using up a try.

    False when it was not ours to run.
    """
    fence = QueueEntry.objects.held_as(task_id, epoch, EntryState.QUEUED).filter(dispatch_id=dispatch_id)
    entry = fence.select_for_update().first()
    return entry is not None and give_back(tasks, entry, now, until=until, key=key)


def release_attempt(entry: QueueEntry, now: datetime) -> None:
    """End the attempt of an entry that was handed over but not begun: it costs nothing."""
    for attempt in Attempt.objects.of_lease(entry.task_id, entry.epoch).filter(state=AttemptState.ADMITTED):
        Attempt.objects.filter(pk=attempt.pk).update(state=AttemptState.RELEASED)
        budgets.settle_all([(attempt, budgets.ZERO)], now)
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
