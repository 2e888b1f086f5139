"""What statistics and usage reports are read from, so that they never scan history. All of it can be made anew."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from ai_tasks.accounts.fields import UsdField


class Period(models.TextChoices):
    """How long a row's time is. Rows of hours and days are there once the hour or day is over."""

    MINUTE = "minute", _("minute")
    HOUR = "hour", _("hour")
    DAY = "day", _("day")
    """In UTC."""


class TaskStat(models.Model):
    """Tasks that ended in one minute, hour or day, by provider, type and status; deleted ones are left out."""

    period = models.CharField(max_length=6, choices=Period.choices)
    starts_at = models.DateTimeField()
    provider = models.SlugField(max_length=40, db_index=False)
    task_type = models.CharField(max_length=60)
    status = models.CharField(max_length=12)
    count = models.PositiveIntegerField()
    wait_time = models.DurationField()
    """From creation (or `run_at`) to the first start, summed over those that started."""
    run_time = models.DurationField()
    """From first start to end, summed."""
    waits = models.JSONField(default=dict)
    """How many waited how long: a histogram (ai_tasks.accounts.histograms)."""
    runs = models.JSONField(default=dict)
    """How many ran how long, likewise."""
    first_tokens = models.JSONField(default=dict)
    """How long the last attempt's first token took, likewise; of those that streamed any."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("period", "starts_at", "provider", "task_type", "status"), name="task_stat_once"
            )
        ]
        verbose_name = _("task statistics")
        verbose_name_plural = _("task statistics")

    def __str__(self) -> str:
        return f"{self.provider} {self.status} {self.starts_at:%Y-%m-%d %H:%M}"


class UsageStat(models.Model):
    """The ledger's sums of a quarter of an hour, with which the days of every time zone begin and end, or of a day."""

    class Period(models.TextChoices):
        """How long a row's time is. The row of a day is there once it is over, beside those of its quarters."""

        QUARTER = "quarter", _("quarter of an hour")
        DAY = "day", _("day")
        """In UTC."""

    period = models.CharField(max_length=7, choices=Period.choices, default=Period.QUARTER)
    starts_at = models.DateTimeField()
    provider = models.SlugField(max_length=40, db_index=False)
    model = models.CharField(max_length=120)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    task_type = models.CharField(max_length=60)
    calls = models.PositiveIntegerField()
    """Charges; adjustments add to the other sums alone."""
    estimated = models.PositiveIntegerField()
    """Of the charges, those whose usage nobody told us."""
    unpriced = models.IntegerField()
    input_tokens = models.BigIntegerField()
    """Uncached."""
    cache_read_tokens = models.BigIntegerField()
    cache_write_tokens = models.BigIntegerField()
    """Of both kinds."""
    output_tokens = models.BigIntegerField()
    """Visible."""
    reasoning_tokens = models.BigIntegerField()
    amount_usd = UsdField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("period", "starts_at", "provider", "model", "owner", "task_type"), name="usage_stat_once"
            )
        ]
        indexes = [models.Index(fields=("owner", "period", "starts_at"), name="usage_stat_owner")]
        verbose_name = _("usage statistics")
        verbose_name_plural = _("usage statistics")

    def __str__(self) -> str:
        return f"{self.provider} {self.starts_at:%Y-%m-%d %H:%M}"


class RollupState(models.Model):
    """How far one kind of rollup has come; whoever rolls up holds its row."""

    name = models.CharField(max_length=10, primary_key=True)
    """`tasks` or `usage`."""
    until = models.DateTimeField()
    """Everything that ended before is rolled up; what came later is read from the rows themselves."""
    hour_until = models.DateTimeField()
    """What ended before was read a second time, and has rows of hours; this is their end."""
    day_until = models.DateTimeField()
    """What ended before has rows of days."""

    class Meta:
        verbose_name = _("rollup state")
        verbose_name_plural = _("rollup states")

    def __str__(self) -> str:
        return f"{self.name} until {self.until:%Y-%m-%d %H:%M}"


class StaleMinute(models.Model):
    """A minute whose tasks changed after their end: one was tried again, or deleted. Its rows are made anew."""

    starts_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("stale minute")
        verbose_name_plural = _("stale minutes")

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M}"
