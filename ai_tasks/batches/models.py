"""What is stored of files and batches."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from ai_tasks.access.models import ApiKey
from ai_tasks.ids import uuid7
from queueing.stored_jobs import JobManager, LeasedJob


class FileQuerySet(models.QuerySet["StoredFile"]):
    """Adjectives of files."""

    def there(self, now: datetime) -> FileQuerySet:
        """Whole, and neither deleted nor expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), is_whole=True, deleted_at=None)

    def gone(self, now: datetime, *, unfinished_since: datetime) -> FileQuerySet:
        """Deleted, expired or never finished, and no batch reads or writes them any more."""
        forsaken = Q(deleted_at__isnull=False) | Q(expires_at__lte=now)
        forsaken |= Q(is_whole=False, created_at__lt=unfinished_since)
        used = Batch.objects.running()
        for name in ("input_file_id", "output_file_id", "error_file_id"):
            self = self.exclude(Exists(used.filter(**{name: OuterRef("pk")})))
        return self.filter(forsaken)


class StoredFile(models.Model):
    """A file of somebody's; its bytes are in its blocks."""

    class Purpose(models.TextChoices):
        """What it is for."""

        BATCH = "batch", _("requests of a batch")
        BATCH_OUTPUT = "batch_output", _("answers of a batch")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="stored_files")
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    name = models.CharField(max_length=200)
    size_bytes = models.PositiveBigIntegerField(default=0)
    is_whole = models.BooleanField(default=False)
    """Until then it is being written, and nobody sees it."""
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    """From then on it is gone."""
    deleted_at = models.DateTimeField(null=True, blank=True)
    """Gone for its owner; its bytes stay while a batch reads them."""

    objects = FileQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=("owner", "-id"), name="stored_file_owner")]
        ordering = ("-id",)
        verbose_name = _("file")
        verbose_name_plural = _("files")

    def __str__(self) -> str:
        return self.name


class FileBlock(models.Model):
    """Some bytes of a file, from `offset` on."""

    file = models.ForeignKey(StoredFile, on_delete=models.CASCADE, related_name="blocks")
    offset = models.PositiveBigIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("file", "offset"), name="file_block_once_per_offset")]
        verbose_name = _("block of a file")
        verbose_name_plural = _("blocks of files")

    def __str__(self) -> str:
        return f"{self.file_id}@{self.offset}"


class BatchStatus(models.TextChoices):
    """How far a batch is, in OpenAI's words."""

    VALIDATING = "validating", _("validating")
    FAILED = "failed", _("failed")
    """Its file cannot be used; nothing of it was begun."""
    IN_PROGRESS = "in_progress", _("in progress")
    FINALIZING = "finalizing", _("finalizing")
    """Everything has ended, or the time is over; its files are being written."""
    COMPLETED = "completed", _("completed")
    EXPIRED = "expired", _("expired")
    CANCELLING = "cancelling", _("cancelling")
    CANCELLED = "cancelled", _("cancelled")


BATCH_MOVES: dict[BatchStatus, set[BatchStatus]] = {
    BatchStatus.VALIDATING: {
        BatchStatus.FAILED,
        BatchStatus.IN_PROGRESS,
        BatchStatus.FINALIZING,
        BatchStatus.CANCELLING,
    },
    BatchStatus.IN_PROGRESS: {BatchStatus.FINALIZING, BatchStatus.CANCELLING},
    BatchStatus.FINALIZING: {BatchStatus.COMPLETED, BatchStatus.EXPIRED},
    BatchStatus.CANCELLING: {BatchStatus.CANCELLED},
}
CANCELLABLE = (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS)


class BatchManager(JobManager):
    """The moves of a batch that are not its runner's."""

    def cancel(self, batch_id: UUID, now: datetime) -> bool:
        """Have what it has begun stopped and what is done written; False where it is too late."""
        moved = {"status": BatchStatus.CANCELLING, "cancelling_at": now, "due_at": now}
        return bool(self.running().filter(pk=batch_id, status__in=CANCELLABLE).update(**moved))


class Batch(LeasedJob):
    """A file of requests that become tasks, and the files of their answers; `status` moves within BATCH_MOVES."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="batches")
    api_key = models.ForeignKey(ApiKey, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    """By which it was asked for, and its tasks are; null: by a session."""
    endpoint = models.CharField(max_length=40)
    """As `/v1/embeddings`."""
    status = models.CharField(max_length=12, choices=BatchStatus.choices, default=BatchStatus.VALIDATING)
    input_file_id = models.UUIDField()
    """No foreign keys: a batch outlives its files."""
    output_file_id = models.UUIDField(null=True, blank=True)
    error_file_id = models.UUIDField(null=True, blank=True)
    output_expires_after_seconds = models.PositiveIntegerField(null=True, blank=True)
    """How long what it writes is kept; null: as any file."""
    metadata = models.JSONField(default=dict, blank=True)
    model = models.CharField(max_length=160, blank=True, default="")
    """What its first request names."""
    errors = models.JSONField(default=list, blank=True)
    """Why it failed: `[{"code", "line", "message", "param"}]`."""
    read_bytes = models.PositiveBigIntegerField(default=0)
    """How far its file is validated."""
    read_lines = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    """Requests."""
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    written_line = models.PositiveIntegerField(default=0)
    """Of the last request that is in one of its files."""
    collected_at = models.DateTimeField(null=True, blank=True)
    """When its tasks were last looked at."""
    usage = models.JSONField(null=True, blank=True)
    """Sum of what was used for the requests that are written."""
    expires_at = models.DateTimeField()
    """When its time is over."""
    is_expired = models.BooleanField(default=False)
    """It was, before all of its requests had ended."""
    in_progress_at = models.DateTimeField(null=True, blank=True)
    finalizing_at = models.DateTimeField(null=True, blank=True)
    cancelling_at = models.DateTimeField(null=True, blank=True)

    objects = BatchManager()

    class Meta(LeasedJob.Meta):
        indexes = [*LeasedJob.Meta.indexes, models.Index(fields=("owner", "-id"), name="batch_owner")]
        verbose_name = _("batch")
        verbose_name_plural = _("batches")

    @property
    def is_cut_short(self) -> bool:
        """Does it end before all of its requests have?"""
        return self.is_expired or self.status == BatchStatus.CANCELLING


class LineState(models.TextChoices):
    """What became of a request."""

    NEW = "new", _("not begun")
    OPEN = "open", _("a live task")
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")


class BatchLine(models.Model):
    """One request of a batch: where it stands, and its task."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    """Of its line in the file, from 1."""
    custom_id = models.CharField(max_length=512)
    offset = models.PositiveBigIntegerField()
    size_bytes = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=LineState.choices, default=LineState.NEW)
    task = models.OneToOneField(
        "ai_tasks.AIGenerationTask", null=True, blank=True, on_delete=models.CASCADE, related_name="batch_line"
    )
    refusal = models.JSONField(null=True, blank=True)
    """`[status, body]` where it did not become a task."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("batch", "number"), name="batch_line_once_per_number"),
            models.UniqueConstraint(fields=("batch", "custom_id"), name="batch_line_once_per_custom_id"),
        ]
        indexes = [
            models.Index(
                fields=("batch", "state", "number"),
                condition=Q(state__in=(LineState.NEW, LineState.OPEN)),
                name="batch_line_left",
            )
        ]
        ordering = ("batch", "number")
        verbose_name = _("request of a batch")
        verbose_name_plural = _("requests of batches")

    def __str__(self) -> str:
        return f"{self.batch_id}#{self.number}"


def values_of(batch: Batch) -> dict[str, Any]:
    """Return what a runner may have changed, as the values of an UPDATE."""
    fixed = {
        "id",
        "owner",
        "api_key",
        "endpoint",
        "input_file_id",
        "metadata",
        "created_at",
        "expires_at",
        "cancelling_at",
    }
    names = (field.name for field in batch._meta.concrete_fields)
    return {name: getattr(batch, name) for name in names if name not in fixed}
