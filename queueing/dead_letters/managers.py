"""Adjectives of dead letters, and the moves of a redrive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.db.models import Count, Max, Min, Q, QuerySet, TextField
from django.db.models.functions import Cast

from queueing.dead_letters import filters

if TYPE_CHECKING:
    from queueing.dead_letters.models import DeadLetter, Redrive  # noqa: F401 (subscripts below)

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

    def groups(self, now: datetime) -> QuerySet[Any]:
        """
        Return a dict for each (provider, error class, fingerprint), the largest first.

        Keys: those three, `count`, `last_hour`, `last_day`, `last_week` (letters of that time), `first_at`, `last_at`,
        and `example`, the id of the newest letter as text. The index `dead_letter_group` holds all of it.
        """
        within = {"last_hour": HOUR, "last_day": DAY, "last_week": WEEK}
        counts = {name: Count("pk", filter=Q(created_at__gt=now - span)) for name, span in within.items()}
        grouped = self.order_by().values(*GROUP).annotate(count=Count("pk"), **counts)
        # PostgreSQL has no max(uuid).
        seen = {"first_at": Min("created_at"), "last_at": Max("created_at"), "example": Max(Cast("pk", TextField()))}
        return grouped.annotate(**seen).order_by("-count", *GROUP)


DeadLetterManager = models.Manager.from_queryset(DeadLetterQuerySet)


class RedriveQuerySet(QuerySet["Redrive"]):
    """Adjectives of redrives."""

    def running(self) -> RedriveQuerySet:
        """Neither finished nor stopped."""
        return self.filter(state="running")

    def due(self, now: datetime) -> RedriveQuerySet:
        """Running, nobody works on them, and there is something to do."""
        return self.running().filter(Q(leased_until=None) | Q(leased_until__lt=now), due_at__lte=now)

    def held_by(self, runner: UUID) -> RedriveQuerySet:
        """The fence: running under this runner's lease."""
        return self.running().filter(runner=runner)


class RedriveManager(models.Manager.from_queryset(RedriveQuerySet)):
    """The moves of a redrive: conditional UPDATEs, True for the one who made it."""

    def claim(self, redrive_id: UUID, runner: UUID, *, until: datetime, now: datetime) -> bool:
        """Lease a due job to a runner."""
        return bool(self.due(now).filter(pk=redrive_id).update(runner=runner, leased_until=until))

    def let_go(self, redrive_id: UUID, runner: UUID) -> bool:
        """Give the lease back; whoever is next goes on from the cursor."""
        return bool(self.held_by(runner).filter(pk=redrive_id).update(runner=None, leased_until=None))

    def stop(self, redrive_id: UUID, *, by: str, now: datetime) -> bool:
        """Stop a running job; a batch that is being written is waited for, and no other begins."""
        stopped = {"state": "stopped", "stopped_at": now, "stopped_by": by[:150], "runner": None, "leased_until": None}
        return bool(self.running().filter(pk=redrive_id).update(**stopped))

    def resume(self, redrive_id: UUID, *, now: datetime) -> bool:
        """Let a stopped job go on from where it was."""
        resumed = {"state": "running", "stopped_at": None, "stopped_by": "", "due_at": now}
        return bool(self.filter(pk=redrive_id, state="stopped").update(**resumed))
