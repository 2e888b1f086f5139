"""What an operator should be told: raised once, cleared once."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ai_tasks.ids import uuid7


class AlertQuerySet(models.QuerySet["Alert"]):
    """Adjectives of alerts."""

    def open(self) -> AlertQuerySet:
        """What they tell is still so."""
        return self.filter(cleared_at=None)


class Alert(models.Model):
    """Something that is wrong, from when to when; `ai_tasks.ops.alerts` raises and clears it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=20)
    """`circuit_open`, `queue_age`, `dead_letters`, ...: a member of ai_tasks.ops.alerts.KINDS."""
    key = models.CharField(max_length=250, blank=True, default="")
    """Of what: the provider, the budget, the worker, the sweep."""
    level = models.CharField(max_length=4)
    """`bad` or `warn`."""
    text = models.CharField(max_length=500)
    """A sentence, in English; as it was when it was last looked at."""
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    mail_tried_at = models.DateTimeField(null=True, blank=True)
    mailed_at = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("kind", "key"), condition=Q(cleared_at=None), name="alert_one_open_of_a_kind"
            ),
        ]
        indexes = [
            models.Index(fields=("mail_tried_at",), condition=Q(cleared_at=None, mailed_at=None), name="alert_unmailed")
        ]
        ordering = ("-id",)
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
