"""Breakers as rows: one of each provider, and one of each of its models that was in trouble by itself."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class CircuitState(models.TextChoices):
    """A breaker."""

    CLOSED = "closed", pgettext_lazy("circuit", "closed")
    """Calls go through."""
    OPEN = "open", pgettext_lazy("circuit", "open")
    """No calls until `open_until`."""
    HALF_OPEN = "half_open", pgettext_lazy("circuit", "half-open")
    """One probe at a time, leased until `probe_until`."""


class CircuitMode(models.TextChoices):
    """Who decides the state."""

    AUTO = "auto", _("automatic")
    FORCED_OPEN = "forced_open", _("forced open")
    FORCED_CLOSED = "forced_closed", _("forced closed")


CIRCUIT_MOVES: dict[CircuitState, set[CircuitState]] = {
    CircuitState.CLOSED: {CircuitState.OPEN},
    CircuitState.OPEN: {CircuitState.HALF_OPEN, CircuitState.CLOSED},
    CircuitState.HALF_OPEN: {CircuitState.CLOSED, CircuitState.OPEN},
}


class Circuit(models.Model):
    """
    A breaker, shared by all processes: the provider's (`model` empty), with its Retry-After gate, or one model's.

    It has no counters: what it is judged by are the attempts (docs/decisions/0040).
    """

    provider = models.ForeignKey("providers.Provider", on_delete=models.CASCADE, related_name="circuits")
    model = models.CharField(max_length=120, blank=True, default="")
    state = models.CharField(max_length=10, choices=CircuitState.choices, default=CircuitState.CLOSED)
    mode = models.CharField(max_length=14, choices=CircuitMode.choices, default=CircuitMode.AUTO)
    forced_until = models.DateTimeField(null=True, blank=True)
    """When it goes back to automatic by itself; null: when an operator says so."""
    cause = models.CharField(max_length=200, blank=True, default="")
    """Error code that opened it last."""
    opened_at = models.DateTimeField(null=True, blank=True)
    open_until = models.DateTimeField(null=True, blank=True)
    """When it turns half-open; null while open: only an operator can close it."""
    open_seconds = models.PositiveIntegerField(default=0)
    """Length of the last open period; doubles up to a cap, back to 0 on close."""
    probe_until = models.DateTimeField(null=True, blank=True)
    """Lease of the half-open probe; null or past: free."""
    closed_at = models.DateTimeField(null=True, blank=True)
    """When it closed last: calls that began before say nothing any more."""
    blocked_until = models.DateTimeField(null=True, blank=True)
    """The provider's own Retry-After."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("provider", "model"), name="circuit_once_per_model"),
            models.CheckConstraint(condition=Q(state__in=CircuitState.values), name="circuit_state_known"),
        ]
        ordering = ("provider", "model")
        verbose_name = _("circuit")
        verbose_name_plural = _("circuits")

    def __str__(self) -> str:
        return f"{self.provider_id}/{self.model or '*'}: {self.state}"


class CircuitRule(models.Model):
    """When a provider's circuit, and those of its models, open and for how long; the operators'."""

    provider = models.OneToOneField(
        "providers.Provider", on_delete=models.CASCADE, primary_key=True, related_name="circuit_rule"
    )
    failures_in_a_row = models.PositiveSmallIntegerField(default=5)
    unreachable_in_a_row = models.PositiveSmallIntegerField(default=2)
    """The same where the provider cannot be reached at all."""
    failed_percent = models.PositiveSmallIntegerField(default=50)
    """Share of the calls of the window; over 100: the share does not count."""
    window_seconds = models.PositiveIntegerField(default=60)
    least_calls = models.PositiveSmallIntegerField(default=10)
    """With fewer calls in the window their share says nothing."""
    first_open_seconds = models.PositiveIntegerField(default=5)
    """It doubles each time that the probe fails."""
    longest_open_seconds = models.PositiveIntegerField(default=300)
    waits_for_operator = models.BooleanField(default=True)
    """After a refused key or an exhausted account, only an operator closes it; else it tries itself again."""

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(failures_in_a_row__gte=1, unreachable_in_a_row__gte=1, failed_percent__gte=1),
                name="circuit_rule_needs_failures",
                violation_error_message=_("Without a failure nothing opens: 1 is the least."),
            ),
            models.CheckConstraint(
                condition=Q(first_open_seconds__gte=1, longest_open_seconds__gte=models.F("first_open_seconds")),
                name="circuit_rule_rests_in_order",
                violation_error_message=_("The longest rest is at least the first, and that a second."),
            ),
        ]
        verbose_name = _("circuit rule")
        verbose_name_plural = _("circuit rules")

    def __str__(self) -> str:
        return self.provider_id


class CircuitTransition(models.Model):
    """Every move of a circuit, with its cause; append-only."""

    provider = models.ForeignKey("providers.Provider", on_delete=models.CASCADE, related_name="circuit_transitions")
    model = models.CharField(max_length=120, blank=True, default="")
    """Empty: the provider's own."""
    from_state = models.CharField(max_length=10, choices=CircuitState.choices)
    to_state = models.CharField(max_length=10, choices=CircuitState.choices)
    cause = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("circuit transition")
        verbose_name_plural = _("circuit transitions")

    def __str__(self) -> str:
        return f"{self.provider_id}/{self.model or '*'}: {self.from_state} → {self.to_state}"
