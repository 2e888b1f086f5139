"""
Do one thing to many: tasks are cancelled, tried again, moved or taken from their workers, dead letters discarded.

A stored job (queueing.stored_jobs) whose every object has an outcome. Objects are dealt with in small transactions,
each with its outcomes, the counters and the cursor: killed in between, it goes on where it was and doubles nothing.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from ai_tasks import clock, settlement, submission
from ai_tasks.errors import DATABASE_AWAY, QueueFull, TaskError
from ai_tasks.models import AIGenerationTask, BulkJob, JobOutcome
from ai_tasks.ops import audit, queues, selection
from ai_tasks.ops.audit import By, Kind
from ai_tasks.oversight.actions import Action
from ai_tasks.states import TaskStatus
from providers.types import storable
from queueing import stored_jobs
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Priority

logger = logging.getLogger(__name__)

AHEAD = 500
"""Objects that are looked up at once."""
MOST_SLICES = 50
"""Transactions of one batch."""
TRY_AGAIN = timedelta(seconds=5)
SMALL = 50
"""Objects of a job that whoever wished it waits for."""
IDS_NOTED = 50

DONE, SKIPPED, FAILED = JobOutcome.Outcome.DONE, JobOutcome.Outcome.SKIPPED, JobOutcome.Outcome.FAILED
Outcomes = dict[UUID, tuple[str, str]]
"""What became of each, and why."""


@transaction.atomic
def begin(action: Action, filters: dict[str, Any], by: By, **params: Any) -> BulkJob:
    """
    Store the job and return it; beat has a Celery worker carry it out, within seconds.

    Filters are checked ones: of ai_tasks.ops.selection, for `discard` of queueing.dead_letters.filters.
    """
    job = BulkJob(action=action, filters=filters, params=params, requested_by=by.name, reason=by.reason[:200])
    job.created_at = job.due_at = by.at
    job.total = _chosen(job).count()
    job.save(force_insert=True)
    ids = filters.get("ids", [])
    noted = filters if len(ids) <= IDS_NOTED else {**filters, "ids": len(ids)}
    audit.write(by, action, Kind.JOB, job.pk, after={"filter": noted, **params}, count=job.total)
    return job


def carry_out(job_id: UUID, *, tell: Callable[[], datetime] = clock.now) -> Generator[BulkJob, None, None]:
    """Carry the job out as far as there is something to do; see queueing.stored_jobs."""
    return stored_jobs.carry_out(BulkJob.objects, job_id, _Work(), tell=tell)


def do_if_small(job_id: UUID) -> None:
    """Carry a job out here and now if it is about a few objects; a larger one is for a worker."""
    if BulkJob.objects.filter(pk=job_id, total__lte=SMALL).exists():
        for _ in carry_out(job_id):
            pass


def _chosen(job: BulkJob) -> QuerySet[Any]:
    """Return the job's objects as they are now, in the order of their ids."""
    if job.action == Action.DISCARD:
        found: QuerySet[Any] = TaskQueue.objects.get_dlq_items(job.filters)
    else:
        found = selection.tasks(Action(job.action), job.filters)
    return found.filter(created_at__lte=job.created_at).order_by("pk")


class _Work:
    """One runner's work on one job; remembers the next ids."""

    def __init__(self) -> None:
        self.ahead: list[UUID] = []

    def __call__(self, job_id: UUID, runner: UUID, now: datetime) -> BulkJob | None:
        """Deal with the next objects, slice by slice; return the job, or None when this runner has lost it."""
        for _ in range(MOST_SLICES):
            job = self._slice(job_id, runner, now)
            if job is None or job.state != BulkJob.State.RUNNING or job.due_at > now:
                break
        return job

    @transaction.atomic
    def _slice(self, job_id: UUID, runner: UUID, now: datetime) -> BulkJob | None:
        job: BulkJob | None = BulkJob.objects.held_by(runner).select_for_update().filter(pk=job_id).first()
        if job is None:
            return None
        job.renew(now)
        deed = DEEDS[Action(job.action)]
        if not self.ahead:
            behind = {"pk__gt": job.cursor} if job.cursor else {}
            self.ahead = list(_chosen(job).filter(**behind).values_list("pk", flat=True)[:AHEAD])
        ids = self.ahead[: deed.at_once]
        if not ids:
            job.finish(now)
        elif (outcomes := _outcomes(deed, job, ids, now)) is None:
            self.ahead, job.due_at = [], now + TRY_AGAIN
        else:
            self.ahead = self.ahead[deed.at_once :]
            _note(job, outcomes)
            job.cursor = ids[-1]
        job.save()
        return job


class Deed(NamedTuple):
    """How one action is done to some objects, in the caller's transaction."""

    act: Callable[[BulkJob, list[UUID], datetime], Outcomes]
    at_once: int
    """Objects of one transaction: one, where each takes locks of its own in the engine's order."""


def _outcomes(deed: Deed, job: BulkJob, ids: list[UUID], now: datetime) -> Outcomes | None:
    """Act and return what became of each; None: a full queue refuses it for now."""
    try:
        with transaction.atomic():
            return deed.act(job, ids, now)
    except QueueFull:
        return None
    except DATABASE_AWAY:
        raise
    except TaskError as error:
        return dict.fromkeys(ids, (FAILED, error.detail))
    except Exception as error:
        logger.exception("The job %s could not do %s.", job.pk, ids[0])
        return dict.fromkeys(ids, (FAILED, f"{type(error).__name__}: {error}"))


def _note(job: BulkJob, outcomes: Outcomes) -> None:
    JobOutcome.objects.bulk_create(
        JobOutcome(job=job, target=target, outcome=outcome, detail=storable(detail)[:200])
        for target, (outcome, detail) in outcomes.items()
    )
    for outcome, _ in outcomes.values():
        setattr(job, outcome, getattr(job, outcome) + 1)


def _cancel(job: BulkJob, ids: list[UUID], now: datetime) -> Outcomes:
    fresh = submission.cancel(AIGenerationTask(pk=ids[0]), now=now)
    if fresh.status == TaskStatus.CANCELLED:
        return {fresh.pk: (DONE, "")}
    if fresh.cancel_requested_at:
        return {fresh.pk: (DONE, "Its worker is asked to stop.")}
    return {fresh.pk: (SKIPPED, f"It is {fresh.status}.")}


def _retry(job: BulkJob, ids: list[UUID], now: datetime) -> Outcomes:
    fresh = AIGenerationTask.objects.select_for_update().get(pk=ids[0])
    if fresh.status not in selection.POSSIBLE[Action.RETRY_TASK]:
        return {fresh.pk: (SKIPPED, f"It is {fresh.status}.")}
    submission.retry(fresh, by=job.requested_by, reason=job.reason, now=now)
    return {fresh.pk: (DONE, "")}


def _reprioritise(job: BulkJob, ids: list[UUID], now: datetime) -> Outcomes:
    before: Mapping[UUID, int] = queues.move_to_class(ids, Priority(job.params["priority"]), now=now)
    words = {task_id: f"It was {Priority(was).word}." for task_id, was in before.items()}
    return {task_id: (DONE, words[task_id]) if task_id in words else (SKIPPED, "It does not wait.") for task_id in ids}


def _release(job: BulkJob, ids: list[UUID], now: datetime) -> Outcomes:
    entry = QueueEntry.objects.running().filter(task_id=ids[0]).select_for_update().first()
    if entry is None:
        return {ids[0]: (SKIPPED, "It does not run.")}
    entry.leased_until = now - timedelta(seconds=1)
    QueueEntry.objects.filter(pk=entry.pk).update(leased_until=entry.leased_until)
    taken = settlement.lose(AIGenerationTask.objects.all(), entry, now, is_verdict=False)
    return {ids[0]: (DONE, "") if taken else (SKIPPED, "It does not run.")}


def _discard(job: BulkJob, ids: list[UUID], now: datetime) -> Outcomes:
    chosen: dict[str, Any] = {"ids": ids}
    gone = set(TaskQueue.objects.discard_some(chosen, by=job.requested_by, reason=job.reason, now=now))
    return {pk: (DONE, "") if pk in gone else (SKIPPED, "It is dealt with.") for pk in ids}


DEEDS: dict[Action, Deed] = {
    Action.CANCEL_TASK: Deed(_cancel, 1),
    Action.RETRY_TASK: Deed(_retry, 1),
    Action.RELEASE_LEASE: Deed(_release, 1),
    Action.REPRIORITISE: Deed(_reprioritise, 100),
    Action.DISCARD: Deed(_discard, 250),
}
