"""The repository `AIGenerationTask.objects`, and the small ones beside it."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Max, Q, QuerySet

from ai_tasks import admission, capacity, clock, completing, lease, settlement
from ai_tasks.accounts import coverage
from ai_tasks.chunks import Piece
from ai_tasks.completing import Answered
from ai_tasks.errors import NotPossible
from ai_tasks.lease import Lease
from ai_tasks.states import ACTIVE, REVIVABLE, TERMINAL, TaskStatus
from ai_tasks.statistics import StatisticsVerbs
from providers import routing
from providers.errors import ProviderError
from providers.types import Completion
from queueing.models import QueueEntry
from queueing.statements import Param, Select
from queueing.states import Lane

if TYPE_CHECKING:
    from ai_tasks.models import AIGenerationTask, Chunk, WorkerProcess  # noqa: F401 (a subscript below)

SILENT_AFTER = timedelta(seconds=20)
"""A worker process that was not seen for so long gets no more work."""


class AIGenerationTaskQuerySet(QuerySet["AIGenerationTask"]):
    """Adjectives of tasks."""

    def alive(self) -> AIGenerationTaskQuerySet:
        """Not deleted."""
        return self.filter(deleted_at=None)

    def pending(self) -> AIGenerationTaskQuerySet:
        """Waiting for their turn."""
        return self.filter(status=TaskStatus.PENDING)

    def processing(self) -> AIGenerationTaskQuerySet:
        """A provider is being called."""
        return self.filter(status=TaskStatus.PROCESSING)

    def active(self) -> AIGenerationTaskQuerySet:
        """Pending or processing."""
        return self.filter(status__in=ACTIVE)

    def failed(self) -> AIGenerationTaskQuerySet:
        """Failed or timed out."""
        return self.filter(status__in=REVIVABLE)

    def terminal(self) -> AIGenerationTaskQuerySet:
        """Ended."""
        return self.filter(status__in=TERMINAL)

    def for_user(self, user: Any) -> AIGenerationTaskQuerySet:
        """Of one user."""
        return self.filter(owner=user)

    def of_type(self, name: str) -> AIGenerationTaskQuerySet:
        """Of one task type."""
        return self.filter(type=name)

    def of_provider(self, provider: str, lane: str | None = None) -> AIGenerationTaskQuerySet:
        """Whose turn is at that provider, and in that lane when given."""
        return self.filter(provider=provider, **({"lane": lane} if lane else {}))

    def related_to(self, related_type: str, related_id: str) -> AIGenerationTaskQuerySet:
        """About this entity of the caller's domain."""
        return self.filter(related_type=related_type, related_id=related_id)

    def by_turn(self) -> AIGenerationTaskQuerySet:
        """Best first, as far as tasks alone tell: by class, then age."""
        return self.order_by("priority", "id")

    def held_as(self, task_id: UUID, epoch: int, status: TaskStatus) -> AIGenerationTaskQuerySet:
        """The fence: this task, only in this status under this lease."""
        return self.filter(pk=task_id, epoch=epoch, status=status)


def _narrow(
    found: AIGenerationTaskQuerySet, provider: str | None, lane: str | None, user: Any, limit: int | None
) -> AIGenerationTaskQuerySet:
    if provider:
        found = found.filter(provider=provider)
    if lane:
        found = found.filter(lane=lane)
    if user is not None:
        found = found.for_user(user)
    return found if limit is None else found[:limit]


class AIGenerationTaskManager(StatisticsVerbs, models.Manager.from_queryset(AIGenerationTaskQuerySet)):
    """The AIGenerationTask repository. Claiming and its fences are in ai_tasks.execution, which the verbs here name."""

    def find_by_id(self, task_id: UUID) -> AIGenerationTask | None:
        """Return the task, or None when there is none or it is deleted."""
        found: AIGenerationTask | None = self.alive().filter(pk=task_id).first()
        return found

    @transaction.atomic
    def save(self, task: AIGenerationTask) -> AIGenerationTask:
        """
        Insert or update the task after full validation and return it.

        An update is refused with NotPossible, and changes nothing, when somebody else saved the row since it was read.
        Status, lease and counters are moved by the walk alone and are not written.
        """
        task.full_clean()
        if task._state.adding:
            task.save(force_insert=True)
            return task
        walked = {"id", "status", "epoch", "tries", "infrastructure_tries", "crashes", "deferrals", "started_at"}
        walked |= {"finished_at", "output", "error", "usage", "cost_usd", "version", "created_at", "updated_at"}
        walked |= {"provider", "model", "route_position", "cancel_requested_at", "deleted_at"}
        columns = [field for field in task._meta.concrete_fields if field.name not in walked]
        values = {field.attname: getattr(task, field.attname) for field in columns}
        fresh = self.filter(pk=task.pk, version=task.version)
        if not fresh.update(version=F("version") + 1, updated_at=clock.now(), **values):
            raise NotPossible("Somebody else changed this task; read it again.")
        task.version += 1
        return task

    def find_pending_tasks(
        self, *, provider: str | None = None, lane: str | None = None, user: Any = None, limit: int | None = None
    ) -> AIGenerationTaskQuerySet:
        """Return pending tasks, best first."""
        return _narrow(self.alive().pending().by_turn(), provider, lane, user, limit)

    def find_processing_tasks(
        self, *, provider: str | None = None, lane: str | None = None, user: Any = None, limit: int | None = None
    ) -> AIGenerationTaskQuerySet:
        """Return processing tasks, best first."""
        return _narrow(self.alive().processing().by_turn(), provider, lane, user, limit)

    def find_failed_tasks(self, *, retryable: bool | None = None, limit: int | None = None) -> AIGenerationTaskQuerySet:
        """Return failed and timed-out tasks, newest end first; with `retryable`, only those (not) worth another try."""
        found = self.alive().failed().order_by("-finished_at", "-id")
        if retryable is not None:
            found = found.filter(error__retryable=retryable)
        return found if limit is None else found[:limit]

    def find_timed_out_tasks(self, now: datetime, *, limit: int | None = None) -> AIGenerationTaskQuerySet:
        """Return processing tasks whose lease or deadline has passed, in the order of their ids."""
        lost = QueueEntry.objects.with_lost_lease(now).values("task_id")
        found = self.processing().filter(Q(deadline_at__lt=now) | Q(pk__in=lost)).order_by("id")
        return found if limit is None else found[:limit]

    def find_by_user(self, user: Any, *, limit: int | None = None) -> AIGenerationTaskQuerySet:
        """Return the user's tasks, newest first."""
        return _narrow(self.alive().order_by("-id"), None, None, user, limit)

    def count_active_by_user(self, user: Any) -> int:
        """Count the user's pending and processing tasks."""
        return int(self.alive().active().for_user(user).count())

    def find_by_type(self, name: str, *, limit: int | None = None) -> AIGenerationTaskQuerySet:
        """Return the tasks of a type, newest first."""
        found = self.alive().of_type(name).order_by("-id")
        return found if limit is None else found[:limit]

    def find_by_related_entity(
        self, related_type: str, related_id: str, *, limit: int | None = None
    ) -> AIGenerationTaskQuerySet:
        """Return the tasks about an entity of the caller's domain, newest first."""
        found = self.alive().related_to(related_type, related_id).order_by("-id")
        return found if limit is None else found[:limit]

    # Claiming: what the Celery workers do by message, for any worker that asks.

    def claim_next_pending_task(
        self, worker: UUID, *, provider: str | None = None, now: datetime | None = None
    ) -> Lease | None:
        """
        Claim the best runnable task that the limits allow, leased to this worker and processing, or return None.

        The lease names the task, its epoch and its output cap. Hold on to it with `renew`; end it with `complete`,
        `fail` or `release_task`. N workers never get the same task. Two transactions: admission, then the start; a
        crash in between leaves a queued entry, which the sweep gives to a Celery worker. While others admit for the
        provider it waits its turn, five seconds at most.
        """
        for each in [provider] if provider else routing.slugs():
            consumers = [([capacity.celery_queue(each, lane) for lane in Lane.values], capacity.UNLIMITED)]
            plan = admission.plan_patiently(self.all(), each, workers=consumers, now=now)
            for dispatch in plan.dispatches[:1]:
                at = now or clock.now()
                return lease.begin(
                    self.all(),
                    dispatch.task_id,
                    dispatch.epoch,
                    dispatch_id=dispatch.dispatch_id,
                    worker=worker,
                    now=at,
                )
        return None

    def renew(self, task_id: UUID, epoch: int, *, worker: UUID, now: datetime | None = None) -> bool:
        """Extend a claim; False when it was lost."""
        at, key = now or clock.now(), (task_id, epoch)
        return key in lease.renew([key], worker=worker, lease=settings.AI_LEASE, now=at)

    def complete(self, task_id: UUID, epoch: int, completion: Completion, *, now: datetime | None = None) -> bool:
        """Finish a claimed task with its answer, and charge it; False, and the task is unchanged, when it was lost."""
        return completing.complete(self.all(), Answered(task_id, epoch, completion), now or clock.now())

    def fail(self, task_id: UUID, epoch: int, error: ProviderError, *, now: datetime | None = None) -> bool:
        """End a claimed attempt with an error; it is retried, falls back or ends by the policy. False: it was lost."""
        return settlement.fail(self.all(), task_id, epoch, error, now=now or clock.now())

    def release_task(self, task_id: UUID, epoch: int, *, now: datetime | None = None) -> bool:
        """Give a claim back: the task is pending again and no try is used up; a lost one changes nothing, False."""
        return settlement.stop(
            self.all(), task_id, epoch, settlement.NOTHING_USED, is_cancelled=False, now=now or clock.now()
        )

    @transaction.atomic
    def delete(self, task: AIGenerationTask, *, now: datetime | None = None) -> None:
        """Delete logically: a live task is cancelled first, one that runs is asked to stop. Its ledger stays."""
        at = now or clock.now()
        settlement.cancel(self.all(), task.pk, at)
        if self.filter(pk=task.pk, deleted_at=None).update(deleted_at=at, version=F("version") + 1):
            coverage.mark_stale(self.filter(pk=task.pk).values_list("finished_at", flat=True).get())


class ChunkManager(models.Manager["Chunk"]):
    """Streamed output."""

    def last_seq(self, task_id: UUID) -> int:
        """Return the number of the task's newest chunk; 0 when it has none."""
        return int(self.filter(task_id=task_id).aggregate(last=Max("seq"))["last"] or 0)

    def newest(self, task_ids: list[str]) -> dict[UUID, int]:
        """Return the number of the newest chunk of each of these tasks that has any."""
        rows = self.filter(task_id__in=task_ids).order_by().values_list("task_id")
        return dict(rows.annotate(last=Max("seq")))

    def after(self, task_id: UUID, seq: int) -> list[Piece]:
        """Return (seq, epoch, kind, data) of the task's chunks after `seq`, in order, folded ones taken apart."""
        found: list[Piece] = []
        for chunk in self.filter(task_id=task_id, seq__gt=seq).order_by("seq"):
            found.extend(chunk.unfold())
        return [piece for piece in found if piece.seq > seq]


class WorkerProcessManager(models.Manager["WorkerProcess"]):
    """The processes that run tasks."""

    def live(self, now: datetime) -> QuerySet[WorkerProcess]:
        """Return those that were seen lately and take work."""
        return self.filter(last_seen_at__gt=now - SILENT_AFTER, stopping_at=None)

    def consumers(self, now: datetime) -> list[tuple[list[str], int]]:
        """Return (queues, threads) of the live ones: what admission may hand work to."""
        return [(process.queues, process.threads) for process in self._live.rows(since=now - SILENT_AFTER)]

    @cached_property
    def _live(self) -> Select[WorkerProcess]:
        return Select(lambda: self.filter(last_seen_at__gt=Param("since"), stopping_at=None))
