"""The queue's rows. References to tasks and providers are ids and names, never foreign keys."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from queueing.dead_letters.models import DeadLetter, Redrive
from queueing.entries import QueueEntryManager
from queueing.managers import TaskQueueManager
from queueing.shares import FairShare, FlowSample, PriorityClass
from queueing.states import LIVE_AT_PROVIDER, EntryState, Lane, ParkedReason, Priority

__all__ = ["DeadLetter", "FairShare", "FlowSample", "PriorityClass", "QueueEntry", "Redrive", "TaskQueue"]


class TaskQueue(models.Model):
    """A provider's lane: pause, marks and, per priority class, the fair-queueing clock."""

    provider = models.SlugField(max_length=40)
    lane = models.CharField(max_length=10, choices=Lane.choices, default=Lane.DEFAULT)
    paused_at = models.DateTimeField(null=True, blank=True)
    """Set while paused: nothing is admitted and nothing starts."""
    paused_until = models.DateTimeField(null=True, blank=True)
    """When the pause ends by itself; null: when an operator resumes."""
    pause_reason = models.CharField(max_length=200, blank=True, default="")
    is_draining = models.BooleanField(default=False)
    """Of a pause: what was handed over before it still begins."""
    soft_mark = models.PositiveIntegerField(null=True, blank=True, default=75_000)
    """Entries from which on the queue is shown as filling up and takes no more `bulk` work; null: none."""
    hard_mark = models.PositiveIntegerField(null=True, blank=True, default=100_000)
    """Entries from which on new ones are refused with QueueFull; null: never."""
    user_mark = models.PositiveIntegerField(null=True, blank=True, default=50_000)
    """The same for the entries of any one user; null: never."""
    user_slots = models.PositiveIntegerField(null=True, blank=True)
    """Of the provider's slots, how many the entries of any one user in this queue may leave in use; null: all."""
    is_strict = models.BooleanField(default=False)
    """Strict priority: nothing of a class starts while a more important one has anything runnable; no aging."""

    objects = TaskQueueManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("provider", "lane"), name="queue_once_per_lane")]
        ordering = ("provider", "lane")
        verbose_name = _("task queue")
        verbose_name_plural = _("task queues")

    def __str__(self) -> str:
        return f"{self.provider}.{self.lane}"

    def is_paused(self, now: datetime) -> bool:
        """Is nothing admitted or started at that time?"""
        return self.paused_at is not None and (self.paused_until is None or now < self.paused_until)

    def lets_begin(self, now: datetime) -> bool:
        """May what was handed over begin at that time?"""
        return self.is_draining or not self.is_paused(now)

    @staticmethod
    def entry_model() -> type["QueueEntry"]:
        """The rows that the repository moves."""
        return QueueEntry

    @staticmethod
    def class_model() -> type["PriorityClass"]:
        """The clocks of the priorities."""
        return PriorityClass

    @staticmethod
    def share_model() -> type["FairShare"]:
        """The users' shares."""
        return FairShare

    @staticmethod
    def sample_model() -> type["FlowSample"]:
        """What the queues' rates are measured by."""
        return FlowSample

    @staticmethod
    def dead_letter_model() -> type[DeadLetter]:
        """The rows of the dead-letter queue."""
        return DeadLetter


class QueueEntry(models.Model):
    """The narrow, hot row that holds a live task's place; one per live task, gone when it ends."""

    task_id = models.UUIDField(unique=True)
    task_type = models.CharField(max_length=60)
    provider = models.SlugField(max_length=40, db_index=False)
    lane = models.CharField(max_length=10, choices=Lane.choices, default=Lane.DEFAULT)
    model = models.CharField(max_length=120)
    owner_key = models.CharField(max_length=64)
    """Whose share it uses: the user's id as text."""
    payer_key = models.CharField(max_length=64, blank=True, default="")
    """Whose budgets bound it beside the owner's: the API key's id as text."""
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    fair_tag = models.FloatField(default=0.0)
    """Place among the class; only reorder_by_priority and weight edits rewrite it."""
    estimate_input_tokens = models.PositiveIntegerField(default=0)
    max_output_tokens = models.PositiveIntegerField(default=0)
    """Its output cap; with the estimated input this is what it reserves of a token limit."""
    state = models.CharField(max_length=10, choices=EntryState.choices, default=EntryState.WAITING)
    parked_reason = models.CharField(max_length=20, choices=ParkedReason.choices, blank=True, default="")
    parked_key = models.CharField(max_length=200, blank=True, default="")
    """What has to be freed for it to go on."""
    parked_until = models.DateTimeField(null=True, blank=True)
    """When to look again at the latest; null: only when its key is freed."""
    epoch = models.PositiveIntegerField(default=0)
    """The task's lease number as of the last admission."""
    dispatch_id = models.UUIDField(null=True, blank=True)
    """Id of the Celery message that carries it."""
    queued_at = models.DateTimeField(null=True, blank=True)
    """When it was handed to Celery, or handed again."""
    worker = models.UUIDField(null=True, blank=True)
    """Boot id of the process that leases it."""
    leased_until = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    """A running entry's worker stops the call when it sees this."""
    deadline_at = models.DateTimeField()
    serial_key = models.CharField(max_length=120, blank=True, default="")
    """Of the entries that share it, one runs at a time, in the order of their ids."""
    is_quarantined = models.BooleanField(default=False)
    """It crashed its workers: it runs alone."""
    enqueued_at = models.DateTimeField()

    objects = QueueEntryManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=EntryState.values), name="entry_state_known"),
            models.CheckConstraint(
                condition=~Q(state=EntryState.PARKED) | ~Q(parked_reason=""), name="entry_parked_has_reason"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=LIVE_AT_PROVIDER) | Q(dispatch_id__isnull=False), name="entry_live_has_dispatch"
            ),
            models.CheckConstraint(
                condition=~Q(state=EntryState.RUNNING) | Q(leased_until__isnull=False, worker__isnull=False),
                name="entry_running_has_lease",
            ),
            models.UniqueConstraint(
                fields=("serial_key",),
                condition=Q(state__in=LIVE_AT_PROVIDER) & ~Q(serial_key=""),
                name="entry_one_live_per_serial_key",
            ),
        ]
        indexes = [
            # The pick, in its order: the head of each class is the first row of the index.
            models.Index(
                fields=("provider", "lane", "priority", "fair_tag", "id"),
                condition=Q(state=EntryState.WAITING),
                name="entry_pick",
            ),
            # Whoever waits longest, and how many wait, as far as is counted.
            models.Index(
                fields=("provider", "lane", "enqueued_at"),
                condition=Q(state=EntryState.WAITING),
                name="entry_oldest",
            ),
            models.Index(
                fields=("provider", "parked_until"), condition=Q(state=EntryState.PARKED), name="entry_parked_due"
            ),
            models.Index(
                fields=("parked_reason", "parked_key"), condition=Q(state=EntryState.PARKED), name="entry_parked_key"
            ),
            models.Index(fields=("provider", "state"), condition=Q(state__in=LIVE_AT_PROVIDER), name="entry_handed"),
            models.Index(fields=("queued_at",), condition=Q(state=EntryState.QUEUED), name="entry_queued"),
            models.Index(fields=("leased_until",), condition=Q(state=EntryState.RUNNING), name="entry_lease"),
            models.Index(fields=("worker",), condition=Q(state=EntryState.RUNNING), name="entry_worker"),
            models.Index(fields=("deadline_at",), name="entry_deadline"),
            models.Index(fields=("serial_key", "id"), condition=~Q(serial_key=""), name="entry_serial"),
            models.Index(fields=("provider", "lane", "owner_key"), name="entry_owner"),
        ]
        verbose_name = _("queue entry")
        verbose_name_plural = _("queue entries")

    def __str__(self) -> str:
        return f"{self.task_id} ({self.state})"

    @property
    def estimate_tokens(self) -> int:
        """What it reserves of a token limit."""
        return self.estimate_input_tokens + self.max_output_tokens
