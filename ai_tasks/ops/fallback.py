"""Send a provider's work to the next places of its routes for a while, and say beforehand what that would mean."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from ai_tasks.models import AIGenerationTask
from ai_tasks.ops import circuits
from ai_tasks.ops.audit import By
from ai_tasks.ops.pages import fleet
from ai_tasks.ops.pages.fleet import Standing
from ai_tasks.oversight.actions import Action
from providers import gateway, routing
from providers.types import Candidate, Usage
from queueing.models import QueueEntry

SAMPLE = 1_000
"""Waiting entries that a preview looks at; of more it is an estimate."""
ZERO = Decimal(0)


@dataclass(slots=True)
class Target:
    """A provider that work would go to."""

    standing: Standing
    count: int
    """How many of the waiting would come."""

    @property
    def headroom(self) -> float | None:
        """How much of its tightest limit is free, from 0 to 1; None: it has none."""
        tightest = self.standing.tightest
        return None if tightest is None or tightest.share is None else max(0.0, 1 - tightest.share)

    @property
    def wait(self) -> timedelta | None:
        """In how long all that waits there then will have started, at its rate of the last minutes; None: unknown."""
        started = self.standing.flow.started
        return timedelta(seconds=(self.standing.waiting + self.count) / started) if started else None


@dataclass(slots=True)
class Preview:
    """What forcing fallback would mean."""

    waiting: int
    is_estimate: bool
    nowhere: int = 0
    """How many have no further place on their route, and would wait."""
    targets: list[Target] = field(default_factory=list)
    dearer_usd: Decimal = ZERO
    """How much more the waiting may cost there, by their estimates; less than zero: how much less."""
    unpriced: int = 0
    """How many have no price here or there."""


def preview_fallback(here: Standing, now: datetime) -> Preview:
    """Count where a provider's waiting would go, with those places' headroom, and the cost; changes nothing."""
    provider = here.slug
    entries = {entry.task_id: entry for entry in QueueEntry.objects.waiting().of(provider).order_by("pk")[:SAMPLE]}
    scale = max(1.0, here.waiting / len(entries)) if entries else 1.0
    found = Preview(here.waiting, here.is_estimate or len(entries) < here.waiting)
    counts: Counter[str] = Counter()
    dearer = ZERO
    for task_id, route, position in _routes(list(entries)):
        there = _next(route, position, provider)
        counts[there.provider if there else ""] += 1
        if there is not None:
            apart = _apart(entries[task_id], there, now)
            found.unpriced += apart is None
            dearer += apart or ZERO
    found.nowhere, found.unpriced = round(counts.pop("", 0) * scale), round(found.unpriced * scale)
    found.dearer_usd = dearer * Decimal(scale)
    found.targets = [Target(each, round(counts[each.slug] * scale)) for each in fleet.read(now, list(counts))]
    return found


def _routes(task_ids: list[object]) -> list[tuple[object, list[list[str]], int]]:
    return list(AIGenerationTask.objects.filter(pk__in=task_ids).values_list("pk", "route", "route_position"))


def _next(route: list[list[str]], position: int, provider: str) -> Candidate | None:
    """Return the first place after this one that is another provider's, and set up."""
    later = (Candidate(*place) for place in route[position + 1 :])
    return next((each for each in later if each.provider != provider and each.provider in routing.slugs()), None)


def _apart(entry: QueueEntry, there: Candidate, now: datetime) -> Decimal | None:
    usage = Usage(input_tokens=entry.estimate_input_tokens, output_tokens=entry.max_output_tokens)
    costs = [gateway.cost_usd(each, usage, now) for each in (Candidate(entry.provider, entry.model), there)]
    return None if costs[0] is None or costs[1] is None else costs[1] - costs[0]


def force_fallback(provider: str, by: By, *, until: datetime) -> bool:
    """
    Keep a provider's circuit open until then, so that what waits and what comes goes on to its route's next place.

    What has no further place waits. True if that changed anything; resuming earlier is `force_circuit` with `auto`.
    """
    return circuits.force_circuit(provider, "forced_open", by, until=until, action=Action.FORCE_FALLBACK)
