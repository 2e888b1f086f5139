"""Reads over attempts: the rate windows and the circuit's evidence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import models
from django.db.models import Case, Count, F, Min, QuerySet, Sum, When
from django.db.models.functions import Coalesce

if TYPE_CHECKING:
    from ai_tasks.accounts.models import Attempt  # noqa: F401 (a subscript below)

BUCKETS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)
OUTPUT = 2
"""So many of them, the last ones, are output."""


class WindowUse(NamedTuple):
    """What one model of a provider used of a rate window."""

    model: str
    requests: int
    tokens: int
    oldest: datetime


class End(NamedTuple):
    """How an attempt ended, as far as a circuit is concerned."""

    model: str
    blames: str
    started_at: datetime
    finished_at: datetime


class AttemptQuerySet(QuerySet["Attempt"]):
    """Adjectives of attempts."""

    def of_lease(self, task_id: object, epoch: int) -> AttemptQuerySet:
        """The one of this task and epoch."""
        return self.filter(task_id=task_id, epoch=epoch)

    def started_since(self, provider: str, since: datetime) -> AttemptQuerySet:
        """At this provider, started later than that."""
        return self.filter(provider=provider, started_at__gt=since)


def _used(attempts: AttemptQuerySet, *groups: str) -> QuerySet[Any]:
    used = sum((Coalesce(F(name), 0) for name in BUCKETS[1:]), start=Coalesce(F(BUCKETS[0]), 0))
    tokens = Case(When(reserved_tokens__gt=used, then=F("reserved_tokens")), default=used)
    grouped = attempts.order_by().values(*groups)
    return grouped.annotate(requests=Count("id"), tokens=Sum(tokens), oldest=Min("started_at"))


class AttemptManager(models.Manager.from_queryset(AttemptQuerySet)):
    """Attempts."""

    def window_use(self, provider: str, since: datetime) -> list[WindowUse]:
        """Return requests and tokens per model since then; tokens count as the larger of reserved and used."""
        rows = _used(self.started_since(provider, since), "model")
        return [WindowUse(**row) for row in rows]

    def window_use_of_all(self, providers: Iterable[str], since: datetime) -> list[tuple[str, WindowUse]]:
        """Return the same of several providers, each with its provider, in one query."""
        rows = _used(self.filter(provider__in=list(providers), started_at__gt=since), "provider", "model")
        return [(row.pop("provider"), WindowUse(**row)) for row in rows]

    def ends(self, provider: str, since: datetime, most: int) -> list[End]:
        """Return how the provider's newest attempts since then ended, the newest first: what it can be judged by."""
        judged = self.filter(provider=provider, finished_at__gt=since, state__in=("succeeded", "failed"))
        judged = judged.exclude(error_class="rate_limited").order_by("-finished_at")
        return [End(*row) for row in judged.values_list("model", "blames", "started_at", "finished_at")[:most]]
