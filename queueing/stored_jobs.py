"""
Jobs as rows: one person's wish about many objects, carried out in batches by one runner at a time.

Each batch is one transaction that also moves the job's cursor, so that a runner may be killed at any point; by a lease
a job is one runner's at a time, and whoever is next goes on from the cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from queueing.ids import uuid7

LEASE = timedelta(seconds=60)
"""How long a runner may be silent before another goes on."""


class JobQuerySet(models.QuerySet[Any]):
    """Adjectives of jobs."""

    def running(self) -> JobQuerySet:
        """Neither finished nor stopped."""
        return self.filter(state="running")

    def due(self, now: datetime) -> JobQuerySet:
        """Running, nobody works on them, and there is something to do."""
        return self.running().filter(Q(leased_until=None) | Q(leased_until__lt=now), due_at__lte=now)

    def held_by(self, runner: UUID) -> JobQuerySet:
        """The fence: running under this runner's lease."""
        return self.running().filter(runner=runner)


class JobManager(models.Manager.from_queryset(JobQuerySet)):
    """The moves of a job: conditional UPDATEs, True for the one who made it."""

    def claim(self, job_id: UUID, runner: UUID, *, until: datetime, now: datetime) -> bool:
        """Lease a due job to a runner."""
        return bool(self.due(now).filter(pk=job_id).update(runner=runner, leased_until=until))

    def let_go(self, job_id: UUID, runner: UUID) -> bool:
        """Give the lease back; whoever is next goes on from the cursor."""
        return bool(self.held_by(runner).filter(pk=job_id).update(runner=None, leased_until=None))

    def stop(self, job_id: UUID, *, by: str, now: datetime) -> bool:
        """Stop a running job; a batch that is being written is waited for, and no other begins."""
        stopped = {"state": "stopped", "stopped_at": now, "stopped_by": by[:150], "runner": None, "leased_until": None}
        return bool(self.running().filter(pk=job_id).update(**stopped))

    def resume(self, job_id: UUID, *, now: datetime) -> bool:
        """Let a stopped job go on from where it was."""
        resumed = {"state": "running", "stopped_at": None, "stopped_by": "", "due_at": now}
        return bool(self.filter(pk=job_id, state="stopped").update(**resumed))


class LeasedJob(models.Model):
    """Something that one runner at a time goes on with, until it is finished."""

    class State(models.TextChoices):
        """How far the job is."""

        RUNNING = "running", _("running")
        STOPPED = "stopped", _("stopped")
        FINISHED = "finished", _("finished")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    due_at = models.DateTimeField()
    """When to go on at the earliest."""
    runner = models.UUIDField(null=True, blank=True)
    """Who works on it, until `leased_until`."""
    leased_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = JobManager()

    class Meta:
        abstract = True
        indexes = [models.Index(fields=("due_at",), condition=Q(state="running"), name="%(class)s_due")]
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.pk} ({self.state})"

    def renew(self, now: datetime) -> None:
        """Note that its runner lives; part of a batch's transaction, which saves it."""
        self.started_at = self.started_at or now
        self.leased_until, self.due_at = now + LEASE, now

    def finish(self, now: datetime) -> None:
        """End it; part of a batch's transaction, which saves it."""
        self.state, self.finished_at, self.runner, self.leased_until = self.State.FINISHED, now, None, None


class StoredJob(LeasedJob):
    """Who wishes what of which objects, and how far that is."""

    filters = models.JSONField(default=dict)
    """What was chosen, checked; of objects up to `created_at` only."""
    requested_by = models.CharField(max_length=150)
    reason = models.CharField(max_length=200, blank=True, default="")
    total = models.PositiveIntegerField(default=0)
    """Objects that were chosen when it was made."""
    done = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    """Objects that were not any more as they had been."""
    failed = models.PositiveIntegerField(default=0)
    """Objects of which it was not possible."""
    cursor = models.UUIDField(null=True, blank=True)
    """The last object that was dealt with; they are taken in the order of their ids."""
    stopped_at = models.DateTimeField(null=True, blank=True)
    stopped_by = models.CharField(max_length=150, blank=True, default="")

    class Meta(LeasedJob.Meta):
        abstract = True

    @property
    def dealt_with(self) -> int:
        """Objects that it is through with."""
        return self.done + self.skipped + self.failed


Batch = Callable[[UUID, UUID, datetime], "LeasedJob | None"]
"""Does the next of a job's objects for a runner; returns the job, or None when the runner has lost it."""


def carry_out(jobs: Any, job_id: UUID, batch: Batch, *, tell: Callable[[], datetime]) -> Generator[Any, None, None]:
    """
    Claim the job and yield it after each batch, until it ends or has nothing to do for now; closing gives it back.

    Yields nothing when the job is not due or another runner has it.
    """
    runner, now = uuid4(), tell()
    if not jobs.claim(job_id, runner, until=now + LEASE, now=now):
        return
    try:
        while (job := batch(job_id, runner, tell())) is not None:
            yield job
            if job.state != LeasedJob.State.RUNNING or job.due_at > tell():
                break
    finally:
        jobs.let_go(job_id, runner)


def progress(job: StoredJob) -> dict[str, Any]:
    """Return how far the job is, as JSON."""
    counts = {name: getattr(job, name) for name in ("total", "done", "skipped", "failed")}
    return {"job_id": str(job.pk), "state": str(job.state), **counts}
