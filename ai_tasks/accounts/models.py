"""Attempts, holds and the ledger. Append-only where money is."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from ai_tasks.accounts.budget_models import Budget, BudgetAlarm, BudgetPeriod
from ai_tasks.accounts.fields import UsdField
from ai_tasks.accounts.managers import AttemptManager

__all__ = ["Attempt", "AttemptState", "Budget", "BudgetAlarm", "BudgetPeriod", "Hold", "LedgerEntry"]


class AttemptState(models.TextChoices):
    """How far one try is."""

    ADMITTED = "admitted", _("admitted")
    """Has a slot and its hold; its message is on the way."""
    STARTED = "started", _("started")
    """The provider is being called."""
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    """Stopped while running, by a person or a deadline."""
    LOST = "lost", _("lost")
    """Its worker went away; a late result may still settle it, else it is charged by estimate."""
    RELEASED = "released", _("released")
    """Never started; costs nothing and uses up no try."""


ATTEMPT_MOVES: dict[AttemptState, set[AttemptState]] = {
    AttemptState.ADMITTED: {AttemptState.STARTED, AttemptState.RELEASED},
    AttemptState.STARTED: {
        AttemptState.SUCCEEDED,
        AttemptState.FAILED,
        AttemptState.CANCELLED,
        AttemptState.LOST,
    },
    AttemptState.LOST: set(),
    AttemptState.SUCCEEDED: set(),
    AttemptState.FAILED: set(),
    AttemptState.CANCELLED: set(),
    AttemptState.RELEASED: set(),
}


class UsageBuckets(models.Model):
    """Tokens in disjoint buckets; null: not known yet. Only an adjustment's may be negative."""

    input_tokens = models.IntegerField(null=True, blank=True)
    """Uncached input."""
    cache_read_tokens = models.IntegerField(null=True, blank=True)
    cache_write_tokens = models.IntegerField(null=True, blank=True)
    cache_write_1h_tokens = models.IntegerField(null=True, blank=True)
    """Written to be kept for an hour, where that has a price of its own."""
    output_tokens = models.IntegerField(null=True, blank=True)
    """Visible output."""
    reasoning_tokens = models.IntegerField(null=True, blank=True)
    usage_source = models.CharField(max_length=10, blank=True, default="")
    """`provider`, `counted` or `estimated`; empty: not known yet."""

    class Meta:
        abstract = True


class Attempt(UsageBuckets):
    """One try of a task at one provider; unique per (task, epoch)."""

    task = models.ForeignKey("ai_tasks.AIGenerationTask", on_delete=models.PROTECT, related_name="attempts")
    epoch = models.PositiveIntegerField()
    dispatch_id = models.UUIDField()
    provider = models.SlugField(max_length=40, db_index=False)
    model = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=AttemptState.choices, default=AttemptState.ADMITTED)
    reserved_tokens = models.PositiveIntegerField(default=0)
    """What was reserved in the tokens-per-minute window; the window counts the larger of this and the real use."""
    reserved_usd = UsdField(null=True, blank=True)
    """Upper bound of its cost by the price at admission; null: unpriced."""
    worker = models.UUIDField(null=True, blank=True)
    admitted_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    first_token_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error_class = models.CharField(max_length=60, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    blames = models.CharField(max_length=8, blank=True, default="")
    """Against whose circuit its error counts: `provider`, `model`, or nobody's."""
    is_probe = models.BooleanField(default=False)
    """Is it the one call by which the provider's half-open circuit is tried?"""
    is_model_probe = models.BooleanField(default=False)
    """The same of its model's circuit."""
    provider_request_id = models.CharField(max_length=200, blank=True, default="")

    objects = AttemptManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("task", "epoch"), name="attempt_once_per_epoch"),
            models.CheckConstraint(condition=Q(state__in=AttemptState.values), name="attempt_state_known"),
        ]
        indexes = [
            # The rate windows: starts of the last minute.
            models.Index(
                fields=("provider", "started_at"), condition=Q(started_at__isnull=False), name="attempt_window"
            ),
            models.Index(
                fields=("provider", "-finished_at"), condition=Q(finished_at__isnull=False), name="attempt_finished"
            ),
            models.Index(fields=("finished_at",), condition=Q(state=AttemptState.LOST), name="attempt_lost"),
        ]
        ordering = ("task", "epoch")
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return f"{self.task_id}.{self.epoch}"


class Hold(models.Model):
    """Money reserved in one budget period for one attempt."""

    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="holds")
    period = models.ForeignKey(BudgetPeriod, on_delete=models.PROTECT, related_name="holds")
    amount_usd = UsdField()
    settled_at = models.DateTimeField(null=True, blank=True)
    """When it was turned into spending, or released."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=("attempt", "period"), name="hold_once_per_period")]
        indexes = [models.Index(fields=("period",), condition=Q(settled_at__isnull=True), name="hold_open")]
        verbose_name = _("hold")
        verbose_name_plural = _("holds")

    def __str__(self) -> str:
        return f"{self.attempt_id}: {self.amount_usd}"


class LedgerEntry(UsageBuckets):
    """What an attempt cost: exactly one charge per started attempt, and adjustments that name it. Append-only."""

    class Kind(models.TextChoices):
        """Charge or correction."""

        CHARGE = "charge", _("charge")
        ADJUSTMENT = "adjustment", _("adjustment")

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.CHARGE)
    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="ledger")
    charge = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="adjustments")
    """The charge that an adjustment corrects."""
    task = models.ForeignKey("ai_tasks.AIGenerationTask", on_delete=models.PROTECT, related_name="ledger")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    task_type = models.CharField(max_length=60)
    provider = models.SlugField(max_length=40, db_index=False)
    model = models.CharField(max_length=120)
    amount_usd = UsdField(null=True, blank=True)
    """Null: the model has no price."""
    unpriced = models.SmallIntegerField(default=0)
    """1: a call whose model had no price; -1: the adjustment that gave it one. Their sum counts unpriced calls."""
    reason = models.CharField(max_length=200, blank=True, default="")
    """Why it is an estimate or a correction."""
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("attempt",), condition=Q(kind="charge"), name="ledger_one_charge"),
            models.CheckConstraint(
                condition=Q(kind="charge", charge__isnull=True) | Q(kind="adjustment", charge__isnull=False),
                name="ledger_adjustment_names_charge",
            ),
        ]
        indexes = [
            models.Index(fields=("created_at",), name="ledger_created"),
            models.Index(fields=("owner", "created_at"), name="ledger_owner"),
            models.Index(fields=("provider", "created_at"), name="ledger_provider"),
        ]
        ordering = (F("id").desc(),)
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_usd}"
