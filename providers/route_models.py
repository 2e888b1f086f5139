"""Routes as rows: what an alias stands for, and what becomes of a task there whose call fails."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from providers.errors import codes
from providers.managers import RouteManager
from providers.types import AfterCut, AfterError


def check_actions(value: Any) -> None:
    """Refuse what is not an object of error codes and actions."""
    if not isinstance(value, dict):
        raise ValidationError(_("An object is wanted: error codes, and what follows them."))
    if unknown := sorted(set(map(str, value)) - set(codes())):
        raise ValidationError(_("No such error: %(names)s."), params={"names": ", ".join(unknown)[:200]})
    if not set(map(str, value.values())) <= set(AfterError):
        raise ValidationError(_("What follows an error is one of: %(words)s."), params={"words": ", ".join(AfterError)})


class Route(models.Model):
    """An alias that callers name instead of a provider's model."""

    alias = models.SlugField(max_length=60, primary_key=True)
    patience_seconds = models.PositiveIntegerField(null=True, blank=True)
    """How long a task may wait at one provider before the next is asked; null: as long as its circuit is not open."""
    on_error = models.JSONField(default=dict, blank=True, validators=[check_actions])
    """By error code: `fall_back`, `retry` (at the same place) or `fail`; what is left out goes by the error's class."""
    after_cut = models.CharField(
        max_length=10,
        default=AfterCut.RESTART,
        choices=[(AfterCut.RESTART.value, _("begin anew")), (AfterCut.CONTINUE.value, _("go on"))],
    )
    """What the next attempt does where an answer broke off in the middle."""
    max_usd_per_call = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    """A place where a call may cost more, by its estimate and output cap, or has no price, is left out."""

    objects = RouteManager()

    class Meta:
        ordering = ("alias",)
        constraints = [
            models.CheckConstraint(
                condition=Q(max_usd_per_call=None) | Q(max_usd_per_call__gte=0), name="route_ceiling_not_negative"
            ),
        ]
        verbose_name = _("route")
        verbose_name_plural = _("routes")

    def __str__(self) -> str:
        return self.alias


class RouteCandidate(models.Model):
    """One place on a route; the first that can take a task gets it, the rest are fallbacks."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="candidates")
    position = models.PositiveSmallIntegerField()
    provider = models.ForeignKey("providers.Provider", on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=120)
    window_tokens = models.PositiveIntegerField(null=True, blank=True)
    """Input and output that this server takes together; null: as is published for a model of that name."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("route", "position"), name="candidate_once_per_position"),
        ]
        ordering = ("route", "position")
        verbose_name = _("route candidate")
        verbose_name_plural = _("route candidates")

    def __str__(self) -> str:
        return f"{self.provider_id}/{self.model}"
