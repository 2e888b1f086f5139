"""Dead letters, and the stored jobs that send them back. References to tasks are ids, never foreign keys."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from queueing.dead_letters.managers import DeadLetterManager
from queueing.ids import uuid7
from queueing.states import Lane
from queueing.stored_jobs import StoredJob


class Redrive(StoredJob):
    """
    One person's wish to send dead letters back: which, where to, how fast, how far.

    Done are tasks that are pending again; skipped are letters whose task is live, has ended otherwise or is gone.
    """

    SAME, FALLBACK = "same", "fallback"
    """As `provider`: where the letter's task died, and the candidate of its route after that."""

    provider = models.CharField(max_length=161, default=SAME)
    """`same`, `fallback`, a provider of the tasks' routes, or `provider/model`."""
    rate_per_second = models.FloatField(null=True, blank=True)
    """How many tasks may start a second; null: as fast as the provider's limits let them."""
    next_slot_at = models.DateTimeField(null=True, blank=True)
    """When the next task may start, where there is a rate."""

    class Meta(StoredJob.Meta):
        constraints = [
            models.CheckConstraint(
                condition=Q(rate_per_second=None) | Q(rate_per_second__gt=0), name="redrive_rate_positive"
            ),
        ]
        verbose_name = _("redrive")
        verbose_name_plural = _("redrives")


class DeadLetter(models.Model):
    """A task that will not run again by itself, and why."""

    class Resolution(models.TextChoices):
        """What became of it."""

        OPEN = "open", _("open")
        REDRIVEN = "redriven", _("redriven")
        DISCARDED = "discarded", _("discarded")

    class Outcome(models.TextChoices):
        """What a redrive did with it."""

        SENT = "sent", _("sent")
        SKIPPED = "skipped", _("skipped")
        FAILED = "failed", _("failed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    task_id = models.UUIDField(db_index=True)
    task_type = models.CharField(max_length=60)
    provider = models.SlugField(max_length=40, db_index=False)
    model = models.CharField(max_length=120)
    lane = models.CharField(max_length=10, choices=Lane.choices, default=Lane.DEFAULT)
    owner_key = models.CharField(max_length=64)
    reason = models.CharField(max_length=40)
    """Why it stopped: `tries_used_up`, `not_retryable`, `deadline`, `crashed`, `operator`, ..."""
    error_class = models.CharField(max_length=60)
    """Error code of the last attempt."""
    message = models.TextField(blank=True, default="")
    fingerprint = models.CharField(max_length=40)
    """Digest of the error class and the message without what varies: equal mishaps group."""
    attempts = models.PositiveIntegerField(default=0)
    payload_place = models.CharField(max_length=200)
    """Where the input stands: table and primary key."""
    estimate_input_tokens = models.PositiveIntegerField(default=0)
    max_output_tokens = models.PositiveIntegerField(default=0)
    """What it reserved of a token limit, from which a redrive's cost is foreseen."""
    resolution = models.CharField(max_length=10, choices=Resolution.choices, default=Resolution.OPEN)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=150, blank=True, default="")
    resolution_reason = models.CharField(max_length=200, blank=True, default="")
    new_task_id = models.UUIDField(null=True, blank=True)
    """The edited copy that runs instead of its task."""
    redrive = models.ForeignKey(Redrive, null=True, blank=True, on_delete=models.SET_NULL, related_name="dead_letters")
    """The last job that dealt with it."""
    redrive_outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True, default="")
    redrive_detail = models.CharField(max_length=200, blank=True, default="")
    """Why that job passed it over; it is open still."""
    created_at = models.DateTimeField()

    objects = DeadLetterManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("task_id",), condition=Q(resolution="open"), name="dead_letter_one_open_per_task"
            ),
        ]
        indexes = [
            # Groups are counted from this index alone; inside a group it is in the order of pages and redrives.
            models.Index(
                fields=("provider", "error_class", "fingerprint", "id", "created_at"),
                condition=Q(resolution="open"),
                name="dead_letter_group",
            ),
            models.Index(fields=("resolution", "id"), name="dead_letter_resolution"),
        ]
        ordering = ("-id",)
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")

    def __str__(self) -> str:
        return f"{self.task_id}: {self.error_class}"
