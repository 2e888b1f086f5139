"""
Go on with a batch: read its file, begin its requests, see them end, write its files; a bounded piece at a time.

Each piece is one transaction of its lines, tasks, blocks and the batch's own row, fenced by the runner's lease
(queueing.stored_jobs): a runner may be killed at any point, and whoever is next goes on from what is committed.
"""

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from ai_tasks import clock, submission
from ai_tasks.batches import content
from ai_tasks.batches.models import Batch, BatchLine, BatchStatus, LineState, values_of
from ai_tasks.compat import batch_files, batch_lines, batch_validation
from ai_tasks.errors import QueueFull
from ai_tasks.states import ACTIVE, TaskStatus
from queueing import stored_jobs

LINES = 50
"""Requests of one transaction, within tenths of a second: their owner's shares are locked until it ends."""
PIECE_BYTES = 2_000_000
"""No more of them than have so many bytes, unless it is one."""
COLLECTED = 1_000
CANCELLED = 200
POLL = timedelta(seconds=2)
"""How soon a batch that waits for its tasks is looked at again; later, the more of them it has."""
LINES_A_SECOND = 5_000
GRACE = timedelta(minutes=10)
"""How long a batch that was cut short waits for workers to stop, as OpenAI's does."""
MARGIN_SECONDS = 3_600
"""Tasks live so much longer than their batch, which cancels them: they leave no dead letters."""


class Lost(Exception):
    """Somebody moved the batch, or another runner has it: nothing of this piece is kept."""


def carry_out(batch_id: UUID, *, tell: Callable[[], datetime] = clock.now) -> Generator[Batch, None, None]:
    """Go on with the batch as far as there is something to do; see queueing.stored_jobs."""
    return stored_jobs.carry_out(Batch.objects, batch_id, go_on, tell=tell)


def go_on(batch_id: UUID, runner: UUID, now: datetime) -> Batch | None:
    """Do the next piece and return the batch, or None when this runner has lost it."""
    _stop_some(batch_id, now)
    try:
        return _piece(batch_id, runner, now)
    except Lost:
        return None


def _stop_some(batch_id: UUID, now: datetime) -> None:
    """
    Cancel some of the live tasks of a batch that was cut short.

    Each in a transaction of its own, in the engine's order of locks; done twice it does nothing.
    """
    batch = Batch.objects.running().filter(pk=batch_id).first()
    if batch and batch.is_cut_short:
        found = batch.lines.filter(state=LineState.OPEN, task__cancel_requested_at=None, task__status__in=ACTIVE)
        for line in found.select_related("task").order_by("number")[:CANCELLED]:
            submission.cancel(line.task, now=now)


@transaction.atomic
def _piece(batch_id: UUID, runner: UUID, now: datetime) -> Batch | None:
    mine = Batch.objects.held_by(runner).filter(pk=batch_id)
    batch: Batch | None = mine.select_for_update().first()
    if batch is None:
        return None
    was = batch.status
    batch.renew(now)
    WORK[BatchStatus(was)](batch, now)
    if not mine.filter(status=was).update(**values_of(batch)):
        raise Lost
    return batch


def _validate(batch: Batch, now: datetime) -> None:
    if now >= batch.expires_at:
        _end_early(batch, now)
    elif (is_good := batch_validation.read_on(batch)) is False:
        batch.lines.all().delete()
        batch.status, batch.total = BatchStatus.FAILED, 0
        batch.finish(now)
    elif is_good:
        batch.status, batch.in_progress_at = BatchStatus.IN_PROGRESS, now


def _end_early(batch: Batch, now: datetime) -> None:
    batch.status, batch.finalizing_at, batch.is_expired = BatchStatus.FINALIZING, now, True


def _progress(batch: Batch, now: datetime) -> None:
    """See what has ended and begin what there is room for."""
    if batch.collected_at is None or now >= batch.collected_at + POLL:
        _collect(batch, now)
    if batch.completed + batch.failed == batch.total:
        batch.status, batch.finalizing_at = BatchStatus.FINALIZING, now
    elif now >= batch.expires_at:
        _end_early(batch, now)
    else:
        _begin_some(batch, now)


def _collect(batch: Batch, now: datetime) -> None:
    """Note the lines whose tasks have ended, or as many of them as fit into a transaction."""
    ended = batch.lines.filter(state=LineState.OPEN).exclude(task__status__in=ACTIVE)
    found = dict(ended.order_by("number").values_list("pk", "task__status")[:COLLECTED])
    good = [pk for pk, status in found.items() if status == TaskStatus.COMPLETED]
    bad = [pk for pk in found if pk not in set(good)]
    lines = batch.lines.filter(state=LineState.OPEN)
    batch.completed += lines.filter(pk__in=good).update(state=LineState.COMPLETED)
    batch.failed += lines.filter(pk__in=bad).update(state=LineState.FAILED)
    batch.collected_at = None if len(found) == COLLECTED else now


def _begin_some(batch: Batch, now: datetime) -> None:
    """Make tasks of the next lines; where there is no room, or nothing left to begin, look again later."""
    is_open = {"batch__owner": batch.owner_id, "batch__state": Batch.State.RUNNING, "state": LineState.OPEN}
    live = BatchLine.objects.filter(**is_open).order_by()[: settings.AI_BATCH_LIVE_LINES].count()
    lines = _next_lines(batch, settings.AI_BATCH_LIVE_LINES - live)
    wait = _begin(batch, lines, now) if lines else POLL + timedelta(seconds=live / LINES_A_SECOND)
    batch.due_at = now + wait if batch.collected_at else now


def _next_lines(batch: Batch, room: int) -> list[BatchLine]:
    lines = batch.lines.filter(state=LineState.NEW).order_by("number")[: min(LINES, max(room, 0))]
    chosen: list[BatchLine] = []
    size = 0
    for line in lines:
        size += line.size_bytes
        if chosen and size > PIECE_BYTES:
            break
        chosen.append(line)
    return chosen


def _begin(batch: Batch, lines: list[BatchLine], now: datetime) -> timedelta:
    """Make a task of each line, or note why not; return how long to wait where a full queue refused one."""
    reader, wait = content.Reader(batch.input_file_id), timedelta(0)
    seconds = int((batch.expires_at - now).total_seconds()) + MARGIN_SECONDS
    # By model, so that all who begin several lock their owner's shares in one order.
    bodies = [(line, batch_lines.body_of(reader.read(line.offset, line.size_bytes))) for line in lines]
    for line, body in sorted(bodies, key=lambda pair: (str(pair[1].get("model")), pair[0].number)):
        try:
            _begin_one(batch, line, body, seconds, now)
        except QueueFull as full:
            wait = max(wait, timedelta(seconds=full.retry_after_seconds or 1))
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            line.state, line.refusal = LineState.FAILED, batch_lines.refusal_of(error)
            batch.failed += 1
    BatchLine.objects.bulk_update([line for line in lines if line.state != LineState.NEW], ["state", "task", "refusal"])
    return wait


@transaction.atomic
def _begin_one(batch: Batch, line: BatchLine, body: dict[str, Any], seconds: int, now: datetime) -> None:
    request, note = batch_lines.wish_of(batch, body, seconds)
    task = submission.submit(batch.owner, request, is_public=True, now=now)
    note(task)
    line.state, line.task = LineState.OPEN, task


def _finalize(batch: Batch, now: datetime, *, end: BatchStatus | None = None) -> None:
    """Write the next lines of the files; of a batch that was cut short when its workers have stopped."""
    _collect(batch, now)
    since = batch.cancelling_at or batch.finalizing_at or now
    if batch.lines.filter(state=LineState.OPEN).exists() and now < since + GRACE:
        batch.due_at = now if _is_to_be_stopped(batch) else now + POLL / 2
    elif not batch_files.write_on(batch, now):
        batch.status = end or (BatchStatus.EXPIRED if batch.is_expired else BatchStatus.COMPLETED)
        batch.finish(now)


def _is_to_be_stopped(batch: Batch) -> bool:
    left = batch.lines.filter(state=LineState.OPEN)
    return left.filter(task__cancel_requested_at=None, task__status__in=ACTIVE).exists()


WORK: dict[BatchStatus, Callable[[Batch, datetime], None]] = {
    BatchStatus.VALIDATING: _validate,
    BatchStatus.IN_PROGRESS: _progress,
    BatchStatus.FINALIZING: _finalize,
    BatchStatus.CANCELLING: partial(_finalize, end=BatchStatus.CANCELLED),
}
