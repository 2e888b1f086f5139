"""
Begin a redrive and carry it out.

queueing stores the job (queueing.stored_jobs); here its letters, tasks and entries move together.
"""

import logging
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction

from ai_tasks import clock, submission
from ai_tasks.errors import DATABASE_AWAY, QueueFull, TaskError
from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives.places import PassedOver, Place, Standing, place, refuse_unknown
from providers.types import storable
from queueing import stored_jobs
from queueing.dead_letters.verbs import Chosen
from queueing.errors import AlreadyQueued
from queueing.models import DeadLetter, Redrive, TaskQueue

logger = logging.getLogger(__name__)

BATCH = 50
"""Letters of one transaction: their owners' shares are locked until it ends, within tenths of a second."""
LEASE = stored_jobs.LEASE
HORIZON = timedelta(seconds=20)
"""How far ahead of its rate a job parks tasks: what a stop does not call back."""

TRY_AGAIN = timedelta(seconds=5)
"""How soon letters that a full queue refused are tried again, at the soonest."""

SENT, SKIPPED, FAILED = DeadLetter.Outcome.SENT, DeadLetter.Outcome.SKIPPED, DeadLetter.Outcome.FAILED


def begin(
    chosen: Chosen,
    *,
    provider: str = Redrive.SAME,
    rate: float | None = None,
    by: str,
    reason: str = "",
    now: datetime | None = None,
) -> Redrive:
    """
    Store the job and return it; beat has a Celery worker carry it out, within seconds.

    Arguments as of TaskQueue.objects.retry_from_dlq. Raises BadFilter, and UnknownModel for a provider that is not set
    up.
    """
    refuse_unknown(provider)
    at = now or clock.now()
    return TaskQueue.objects.retry_from_dlq(chosen, provider=provider, rate=rate, by=by, reason=reason, now=at)


def carry_out(redrive_id: UUID, *, tell: Callable[[], datetime] = clock.now) -> Generator[Redrive, None, None]:
    """Carry the job out as far as there is something to do; see queueing.stored_jobs."""
    return stored_jobs.carry_out(Redrive.objects, redrive_id, send_batch, tell=tell)


@transaction.atomic
def send_batch(redrive_id: UUID, runner: UUID, now: datetime) -> Redrive | None:
    """
    Send the next letters back and move the cursor; return the job, or None when this runner has lost it.

    One transaction: letters, tasks, entries, counters, cursor. A letter that cannot be sent hurts only itself; one
    that a full queue refuses is met again when the others were.
    """
    job: Redrive | None = Redrive.objects.held_by(runner).select_for_update().filter(pk=redrive_id).first()
    if job is None:
        return None
    job.renew(now)
    room = _room(job, now)
    ahead = list(
        _left(job).filter(**({"pk__gt": job.cursor} if job.cursor else {})).values_list("pk", "task_id")[:room]
    )
    wait = _Batch(job, now).send(ahead) if ahead else timedelta(0)
    if len(ahead) == room:
        job.due_at = max(now + wait, (job.next_slot_at or now) - HORIZON / 2)
    elif _left(job).exists():
        # A full queue refused some: they are tried again from the first on.
        job.cursor, job.due_at = None, now + max(wait, TRY_AGAIN)
    else:
        job.finish(now)
    job.save()
    return job


def _left(job: Redrive) -> Any:
    """The job's letters that it has not dealt with, in order; tasks that die again meanwhile leave newer ones."""
    letters = TaskQueue.objects.get_dlq_items(job.filters).filter(created_at__lte=job.created_at)
    return letters.exclude(redrive=job).order_by("pk")


def _room(job: Redrive, now: datetime) -> int:
    """Return how many letters the next batch may take: of a rated job, as many as have slots within the horizon."""
    if job.rate_per_second is None:
        return BATCH
    seconds = (HORIZON - (max(now, job.next_slot_at or now) - now)).total_seconds()
    return min(BATCH, int(seconds * job.rate_per_second) + 1) if seconds >= 0 else 0


class _Row(NamedTuple):
    """A letter that can be sent."""

    letter: DeadLetter
    task: AIGenerationTask
    place: Place

    def share(self) -> tuple[Any, ...]:
        """Return whose share of which queue and class it uses: the order in which shares are locked."""
        return (self.place.candidate.provider, self.task.lane, self.task.priority, self.task.owner_id)


class _Batch:
    """One transaction's letters, and what became of them."""

    def __init__(self, job: Redrive, now: datetime) -> None:
        self.job = job
        self.now = now
        self.outcomes: dict[tuple[str, str], list[DeadLetter]] = {}

    def send(self, ahead: list[tuple[UUID, UUID]]) -> timedelta:
        """Send these (letter, task) and move the cursor; return how long to wait where full queues refused them all."""
        waits = [self._send(row) for row in sorted(self._rows(ahead), key=_Row.share)]
        for (outcome, detail), letters in self.outcomes.items():
            self._write(outcome, detail, letters)
        self.job.cursor = ahead[-1][0]
        return timedelta(0) if self.outcomes else max(waits, default=timedelta(0))

    def _rows(self, ahead: list[tuple[UUID, UUID]]) -> list[_Row]:
        """Lock tasks, then letters, each in the order of their ids, and return what can be sent; note the others."""
        locked = AIGenerationTask.objects.filter(pk__in=[task_id for _, task_id in ahead]).select_for_update()
        tasks = {task.pk: task for task in locked.order_by("pk") if task.deleted_at is None}
        letters = DeadLetter.objects.open().filter(pk__in=[pk for pk, _ in ahead]).select_for_update()
        rows = []
        for letter in letters.order_by("pk"):
            task = tasks.get(letter.task_id)
            standing = Standing(task.status, task.route, task.route_position) if task else Standing(None, [], 0)
            try:
                rows.append(_Row(letter, task, place(standing, self.job.provider)))  # type: ignore[arg-type]
            except PassedOver as why:
                self._note(letter, SKIPPED, str(why))
        return rows

    def _send(self, row: _Row) -> timedelta:
        """Send one and note its outcome; return how long all should wait where a queue (not a user's share) is full."""
        slot = self._slot()
        try:
            with transaction.atomic():
                submission.revive(row.task, *row.place, self.now, until=slot)
        except QueueFull as error:
            is_users = getattr(error.__cause__, "scope", "") == "user"
            return timedelta(0) if is_users else timedelta(seconds=error.retry_after_seconds or 1)
        except DATABASE_AWAY:
            raise
        except AlreadyQueued:
            self._note(row.letter, SKIPPED, "Its task is live.")
        except TaskError as error:
            self._note(row.letter, FAILED, error.detail)
        except Exception as error:
            logger.exception("The dead task %s could not be sent back.", row.task.pk)
            self._note(row.letter, FAILED, f"{type(error).__name__}: {error}")
        else:
            self._note(row.letter, SENT, "")
            if slot is not None and self.job.rate_per_second:
                self.job.next_slot_at = slot + timedelta(seconds=1 / self.job.rate_per_second)
        return timedelta(0)

    def _slot(self) -> datetime | None:
        return None if self.job.rate_per_second is None else max(self.now, self.job.next_slot_at or self.now)

    def _note(self, letter: DeadLetter, outcome: str, detail: str) -> None:
        self.outcomes.setdefault((outcome, storable(detail)[:200]), []).append(letter)

    def _write(self, outcome: str, detail: str, letters: list[DeadLetter]) -> None:
        job, count = self.job, len(letters)
        if outcome == SENT:
            task_ids = [letter.task_id for letter in letters]
            TaskQueue.objects.take_from_dlq(task_ids, by=job.requested_by, reason=job.reason, redrive=job, now=self.now)
            job.done += count
            return
        passed = DeadLetter.objects.filter(pk__in=[letter.pk for letter in letters])
        passed.update(redrive=job, redrive_outcome=outcome, redrive_detail=detail)
        job.skipped += count if outcome == SKIPPED else 0
        job.failed += count if outcome == FAILED else 0
