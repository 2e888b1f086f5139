"""Adjectives of dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Max, Min, Q, QuerySet, TextField
from django.db.models.functions import Cast

from queueing.dead_letters import filters

if TYPE_CHECKING:
    from queueing.dead_letters.models import DeadLetter  # noqa: F401 (a subscript below)

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
GROUP = ("provider", "error_class", "fingerprint")


class DeadLetterQuerySet(QuerySet["DeadLetter"]):
    """Adjectives of dead letters."""

    def open(self) -> DeadLetterQuerySet:
        """Nobody has dealt with them."""
        return self.filter(resolution="open")

    def matching(self, chosen: Mapping[str, Any]) -> DeadLetterQuerySet:
        """Those that the filters leave; raises BadFilter."""
        return self.filter(filters.condition(filters.checked(chosen)))

    def totals(self, now: datetime) -> dict[str, int]:
        """Return `count`, `last_hour`, `last_day` and `last_week` of all of them."""
        return self.order_by().aggregate(**_counts(now))

    def groups(self, now: datetime) -> QuerySet[Any]:
        """
        Return a dict for each (provider, error class, fingerprint), the largest first.

        Keys: those three, `count`, `last_hour`, `last_day`, `last_week` (letters of that time), `first_at`, `last_at`,
        and `example`, the id of the newest letter as text. The index `dead_letter_group` holds all of it.
        """
        grouped = self.order_by().values(*GROUP).annotate(**_counts(now))
        # PostgreSQL has no max(uuid).
        seen = {"first_at": Min("created_at"), "last_at": Max("created_at"), "example": Max(Cast("pk", TextField()))}
        return grouped.annotate(**seen).order_by("-count", *GROUP)


def _counts(now: datetime) -> dict[str, Count]:
    within = {"last_hour": HOUR, "last_day": DAY, "last_week": WEEK}
    counts = {name: Count("pk", filter=Q(created_at__gt=now - span)) for name, span in within.items()}
    return {"count": Count("pk"), **counts}


DeadLetterManager = models.Manager.from_queryset(DeadLetterQuerySet)
