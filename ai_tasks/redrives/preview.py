"""What a redrive would do now."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives.places import PassedOver, Standing, place, refuse_unknown
from providers import gateway
from providers.types import Candidate, Usage
from queueing.dead_letters.verbs import Chosen
from queueing.models import Redrive, TaskQueue

GROUPS_SHOWN = 100
ZERO = Decimal(0)


@dataclass(slots=True)
class Preview:
    """The counts of a dry run."""

    groups: list[dict[str, Any]]
    """The largest groups of the chosen letters, as `DeadLetterQuerySet.groups` counts them."""
    total: int = 0
    eligible: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """How many are passed over, by why."""
    cost_usd: Decimal = ZERO
    """The most that the eligible may cost by their estimates, those without a price left out."""
    unpriced: int = 0


def preview(chosen: Chosen, *, provider: str = Redrive.SAME, now: datetime | None = None) -> Preview:
    """Count what a redrive would send and what it would pass over, and its cost; raises BadFilter and UnknownModel."""
    at = now or clock.now()
    refuse_unknown(provider)
    groups = TaskQueue.objects.retry_from_dlq(chosen, dry_run=True, now=at)
    found = Preview(list(groups[:GROUPS_SHOWN]))
    for task, count, usage in _standings(chosen):
        found.total += count
        try:
            candidate = place(task, provider).candidate
        except PassedOver as why:
            found.skipped[str(why)] += count
            continue
        each = gateway.cost_usd(candidate, usage, at)
        found.eligible += count
        found.unpriced += count if each is None else 0
        found.cost_usd += (each or ZERO) * count
    return found


def _standings(chosen: Chosen) -> Iterator[tuple[Standing, int, Usage]]:
    """Count the chosen letters by how their tasks stand, each with the mean of what it reserved."""
    task = AIGenerationTask.objects.alive().filter(pk=OuterRef("task_id"))
    columns = {"status": "status", "route": "route", "position": "route_position"}
    letters = TaskQueue.objects.get_dlq_items(TaskQueue.objects.open_only(chosen)).order_by()
    standing = letters.annotate(**{name: Subquery(task.values(column)) for name, column in columns.items()})
    counted = standing.values(*columns).annotate(count=Count("pk"))
    for row in counted.annotate(inputs=Sum("estimate_input_tokens"), outputs=Sum("max_output_tokens")):
        count = row["count"]
        usage = Usage(input_tokens=row["inputs"] // count, output_tokens=row["outputs"] // count)
        yield Standing(row["status"], row["route"] or [], row["position"] or 0), count, usage


def cost_of_letters(letters: QuerySet[Any], now: datetime) -> tuple[Decimal, int]:
    """Return the most that these letters' tasks may cost where they died, and how many have no price there."""
    cost, unpriced = ZERO, 0
    counted = letters.order_by().values("provider", "model").annotate(count=Count("pk"))
    for row in counted.annotate(inputs=Sum("estimate_input_tokens"), outputs=Sum("max_output_tokens")):
        usage = Usage(input_tokens=row["inputs"], output_tokens=row["outputs"])
        each = gateway.cost_usd(Candidate(row["provider"], row["model"]), usage, now)
        cost, unpriced = cost + (each or ZERO), unpriced + (row["count"] if each is None else 0)
    return cost, unpriced
