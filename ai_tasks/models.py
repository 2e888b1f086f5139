"""The aggregate AIGenerationTask, its streamed chunks, and the processes that run it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ai_tasks.access.models import ApiKey, IdempotencyRecord, ResponseRecord, WebSocketTicket
from ai_tasks.accounts.fields import UsdField
from ai_tasks.accounts.models import Attempt, Budget, BudgetAlarm, BudgetPeriod, Hold, LedgerEntry
from ai_tasks.accounts.rollup_models import RollupState, StaleMinute, TaskStat, UsageStat
from ai_tasks.batches.models import Batch, BatchLine, FileBlock, StoredFile
from ai_tasks.chunks import Piece, unfold
from ai_tasks.ids import uuid7
from ai_tasks.managers import AIGenerationTaskManager, ChunkManager, WorkerProcessManager
from ai_tasks.oversight.alerts import Alert
from ai_tasks.oversight.jobs import BulkJob, JobOutcome
from ai_tasks.oversight.models import AuditEntry
from ai_tasks.states import ACTIVE, ChunkKind, TaskStatus
from ai_tasks.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookSubscription
from queueing.models import QueueEntry
from queueing.states import Lane, Priority

__all__ = [
    "AIGenerationTask",
    "Alert",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Batch",
    "BatchLine",
    "Budget",
    "BudgetAlarm",
    "BudgetPeriod",
    "BulkJob",
    "Chunk",
    "FileBlock",
    "FinishHook",
    "Hold",
    "IdempotencyRecord",
    "JobOutcome",
    "LedgerEntry",
    "ResponseRecord",
    "RollupState",
    "StaleMinute",
    "StoredFile",
    "TaskStat",
    "UsageStat",
    "WebSocketTicket",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookSubscription",
    "WorkerProcess",
]


class AIGenerationTask(models.Model):
    """One thing that somebody asked an AI for: a row before it is a call."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="ai_tasks")
    api_key = models.ForeignKey(
        ApiKey, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    """By which it was asked for, and whose budgets bound it, too; null: by a session or the platform."""
    type = models.CharField(max_length=60)
    """Name of its task type, as `text.generate`."""
    status = models.CharField(max_length=12, choices=TaskStatus.choices, default=TaskStatus.PENDING)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    lane = models.CharField(max_length=10, choices=Lane.choices, default=Lane.DEFAULT)
    prompt_version = models.PositiveSmallIntegerField(default=1)
    """Of its type's prompt, as it was submitted."""
    requested_model = models.CharField(max_length=160)
    """What the caller named: a route's alias or `provider/model`."""
    route = models.JSONField(default=list)
    """Snapshot of its candidates, best first: `[["provider", "model"], ...]`."""
    route_position = models.PositiveSmallIntegerField(default=0)
    """Which candidate is its turn."""
    provider = models.SlugField(max_length=40, db_index=False)
    """The candidate's provider."""
    model = models.CharField(max_length=120)
    """The candidate's model."""
    route_policy = models.JSONField(default=dict, blank=True)
    """Of the route, as it was then: `on_error`, `after_cut`, and `skipped`, places that were left out."""
    input = models.JSONField()
    output = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    """`{"code", "message", "retryable"}` of the last failure; null once completed."""
    usage = models.JSONField(null=True, blank=True)
    """Public, inclusive usage of the finishing attempt."""
    cost_usd = UsdField(null=True, blank=True)
    """Sum of its charges; null: nothing charged yet, or unpriced."""
    max_cost_usd = UsdField(null=True, blank=True)
    """Over this in total the task fails instead of trying again."""
    related_type = models.CharField(max_length=60, blank=True, default="")
    related_id = models.CharField(max_length=200, blank=True, default="")
    metadata = models.JSONField(default=dict, blank=True)
    callback_url = models.URLField(max_length=500, blank=True, default="")
    serial_key = models.CharField(max_length=120, blank=True, default="")
    """Of the tasks that share it, one runs at a time, in order."""
    redriven_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    """The dead task whose edited copy this is."""
    epoch = models.PositiveIntegerField(default=0)
    """Number of the newest lease; it never goes back, so whoever lost one can change nothing."""
    tries = models.PositiveIntegerField(default=0)
    """Attempts in which a provider worked on it and failed."""
    infrastructure_tries = models.PositiveIntegerField(default=0)
    """Attempts that a provider turned away: unreachable, overloaded, rate limited."""
    crashes = models.PositiveIntegerField(default=0)
    """Attempts whose worker went away."""
    deferrals = models.PositiveIntegerField(default=0)
    """Attempts given back before they began."""
    version = models.PositiveIntegerField(default=0)
    """Grows with every `save(task)`; a stale one is refused."""
    run_at = models.DateTimeField(null=True, blank=True)
    """Not before this."""
    deadline_at = models.DateTimeField()
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    """Start of the first attempt."""
    finished_at = models.DateTimeField(null=True, blank=True)
    purged_at = models.DateTimeField(null=True, blank=True)
    """When what it was asked and answered was deleted, long after its end; its bill stays."""
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    request_id = models.CharField(max_length=100, blank=True, default="")
    """Of the HTTP request that asked for it; empty: there was none."""
    traceparent = models.CharField(max_length=55, blank=True, default="")
    """Of the trace that its attempts are part of (W3C Trace Context); empty: each begins one."""

    entry: QueueEntry | None = None
    """Its place in the queue as its submission just made it; not kept."""

    objects = AIGenerationTaskManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=TaskStatus.values), name="task_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=ACTIVE, finished_at__isnull=True)
                | (~Q(status__in=ACTIVE) & Q(finished_at__isnull=False)),
                name="task_finished_when_terminal",
            ),
        ]
        indexes = [
            models.Index(
                fields=("provider", "lane", "priority", "id"), condition=Q(status__in=ACTIVE), name="task_active"
            ),
            # Live ones are counted from the index alone.
            models.Index(
                fields=("status", "provider", "type", "created_at"),
                condition=Q(status__in=ACTIVE, deleted_at__isnull=True),
                name="task_live",
            ),
            models.Index(fields=("owner", "-id"), name="task_owner"),
            models.Index(fields=("owner", "status", "-id"), name="task_owner_status"),
            models.Index(fields=("type", "-id"), name="task_type"),
            models.Index(
                fields=("related_type", "related_id", "-id"), condition=~Q(related_type=""), name="task_related"
            ),
            models.Index(
                fields=("-finished_at",),
                condition=Q(status__in=(TaskStatus.FAILED, TaskStatus.TIMED_OUT)),
                name="task_failed",
            ),
            # What is not rolled up yet.
            models.Index(
                fields=("finished_at", "status", "provider"), condition=Q(finished_at__isnull=False), name="task_ended"
            ),
            # What is to be purged next.
            models.Index(
                fields=("finished_at",),
                condition=Q(finished_at__isnull=False, purged_at__isnull=True),
                name="task_unpurged",
            ),
        ]
        ordering = ("-id",)
        verbose_name = _("task")
        verbose_name_plural = _("tasks")

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class Chunk(models.Model):
    """
    A durable piece of a task's output. `seq` grows over all attempts of the task.

    When the task ends its chunks are folded into one row: `data` is their concatenation, and `parts` lists
    `[seq, epoch, kind, length]` of each, so that a resumed stream is byte-identical.
    """

    task = models.ForeignKey(AIGenerationTask, on_delete=models.CASCADE, related_name="chunks")
    seq = models.PositiveIntegerField()
    """From 1; of a folded row the last one in it."""
    epoch = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=ChunkKind.choices, default=ChunkKind.TEXT)
    data = models.TextField()
    parts = models.JSONField(null=True, blank=True)

    objects = ChunkManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("task", "seq"), name="chunk_once_per_seq")]
        ordering = ("task", "seq")
        verbose_name = _("chunk")
        verbose_name_plural = _("chunks")

    def __str__(self) -> str:
        return f"{self.task_id}#{self.seq}"

    def unfold(self) -> list[Piece]:
        """Return the pieces of this row, in order."""
        return unfold(self.seq, self.epoch, self.kind, self.data, self.parts)


class FinishHook(models.Model):
    """A task type's `on_finished(task_id)` that is still to be run: written by the settle transaction, run after it."""

    task = models.ForeignKey(AIGenerationTask, on_delete=models.CASCADE, related_name="finish_hooks")
    tries = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(db_index=True)
    """When to try again if nobody has."""
    last_error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = _("finish hook")
        verbose_name_plural = _("finish hooks")

    def __str__(self) -> str:
        return f"{self.task_id}"


class WorkerProcess(models.Model):
    """A process that runs tasks: what it consumes, how many at once, and when it was last seen."""

    boot_id = models.UUIDField(primary_key=True)
    """New at every start of the process."""
    hostname = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)
    """Celery queues that it consumes, as `ai.<provider>.<lane>`."""
    threads = models.PositiveIntegerField()
    """How many tasks it can run at once."""
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)
    stopping_at = models.DateTimeField(null=True, blank=True)
    """Set while it drains: nothing more is handed to it."""

    objects = WorkerProcessManager()

    class Meta:
        ordering = ("-last_seen_at",)
        verbose_name = _("worker process")
        verbose_name_plural = _("worker processes")

    def __str__(self) -> str:
        return f"{self.hostname}:{self.pid}"
