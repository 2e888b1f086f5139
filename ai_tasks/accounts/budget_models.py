"""Budgets, their months and days, and the alarms they raised."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ai_tasks.accounts import periods
from ai_tasks.accounts.fields import UsdField

LARGEST_USD = 900_000_000
"""What a UsdField can add up without running over."""


class Budget(models.Model):
    """A limit on money by month or day: global, or of one provider, user, API key or task type."""

    class Scope(models.TextChoices):
        """Whose money it bounds."""

        GLOBAL = "global", _("everything")
        PROVIDER = "provider", _("provider")
        USER = "user", _("user")
        API_KEY = "api_key", _("API key")
        TASK_TYPE = "task_type", _("task type")

    class Interval(models.TextChoices):
        """How often it begins anew."""

        MONTH = periods.MONTH, _("month")
        DAY = periods.DAY, _("day")

    scope = models.CharField(max_length=10, choices=Scope.choices)
    scope_key = models.CharField(max_length=64, blank=True, default="")
    """Provider, user id, API key id or task type; empty for everything."""
    interval = models.CharField(max_length=5, choices=Interval.choices, default=Interval.MONTH)
    limit_usd = UsdField(validators=[MinValueValidator(0), MaxValueValidator(LARGEST_USD)])
    time_zone = models.CharField(max_length=64, default="UTC", validators=[periods.check_time_zone])
    """IANA name; months and days begin at midnight there."""
    is_enabled = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("scope", "scope_key", "interval"), name="budget_once_per_scope"),
            models.CheckConstraint(
                condition=Q(scope="global", scope_key="") | (~Q(scope="global") & ~Q(scope_key="")),
                name="budget_names_whom_it_bounds",
                violation_error_message=_(
                    "Say which provider, user id, API key id or task type; nothing where it is everything."
                ),
            ),
            models.CheckConstraint(condition=Q(limit_usd__gte=0), name="budget_limit_not_negative"),
        ]
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")

    def __str__(self) -> str:
        return f"{self.scope}:{self.scope_key or '*'}/{self.interval}"


class BudgetPeriod(models.Model):
    """One month or day of a budget. `spent + held <= limit` is kept by one conditional UPDATE."""

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="periods")
    period = models.CharField(max_length=10)
    """Month or day in the budget's time zone, as 2026-11 or 2026-11-23."""
    limit_usd = UsdField()
    """The budget's limit, copied so that the hold's condition reads this row alone."""
    spent_usd = UsdField(default=0)
    held_usd = UsdField(default=0)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("budget", "ends_at"), name="budget_period_once"),
            models.CheckConstraint(condition=Q(held_usd__gte=0), name="budget_held_not_negative"),
        ]
        verbose_name = _("budget period")
        verbose_name_plural = _("budget periods")

    def __str__(self) -> str:
        return f"{self.budget_id} {self.period}"

    @property
    def used_usd(self) -> Decimal:
        """What is spent or held."""
        return self.spent_usd + self.held_usd

    def has_room(self, amount: Decimal) -> bool:
        """Would the amount fit? What is free always does."""
        return amount <= 0 or self.used_usd + amount <= self.limit_usd


class BudgetAlarm(models.Model):
    """A budget's period reached a share of its limit; once per period and share, append-only."""

    period = models.ForeignKey(BudgetPeriod, on_delete=models.PROTECT, related_name="alarms")
    percent = models.PositiveSmallIntegerField()
    """Of the limit: 80 or 100."""
    spent_usd = UsdField()
    limit_usd = UsdField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("period", "percent"), name="alarm_once_per_share")]
        ordering = ("-id",)
        verbose_name = _("budget alarm")
        verbose_name_plural = _("budget alarms")

    def __str__(self) -> str:
        return f"{self.period_id}: {self.percent} %"
