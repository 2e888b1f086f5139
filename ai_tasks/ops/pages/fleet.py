"""How every provider stands now: its state, its limits and what is used of them, and its queue; ten queries in all."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Sum
from django.utils.translation import gettext_lazy as _

from ai_tasks import capacity
from ai_tasks.accounts.models import Attempt
from ai_tasks.capacity import Use
from providers import routing, standing
from providers.types import Limits
from queueing import standing as queues
from queueing.models import QueueEntry, TaskQueue
from queueing.standing import Depth
from queueing.states import EntryState, Lane
from queueing.status import Flow

NEARLY_FULL = 0.8
UNMEASURED = Flow(None, None)
RESOURCES = (
    ("slots", "max_concurrency", _("at once")),
    ("requests", "requests_per_minute", _("requests a minute")),
    ("tokens", "tokens_per_minute", _("tokens a minute")),
)


class Meter(NamedTuple):
    """What of one limit is in use."""

    label: Any
    used: int
    limit: int | None
    """None: unlimited."""

    @property
    def share(self) -> float | None:
        """How much of the limit, from 0; None where there is none."""
        return None if self.limit is None else self.used / self.limit if self.limit else 1.0

    @property
    def level(self) -> str:
        """Return `full`, `high` or `normal`."""
        share = self.share or 0.0
        return "full" if share >= 1 else "high" if share >= NEARLY_FULL else "normal"


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """One lane of a provider, as it stands."""

    name: str
    depth: Depth
    flow: Flow
    queue: TaskQueue | None
    """Its row; None until the first task came."""

    @property
    def label(self) -> Any:
        """Its name for people."""
        return Lane(self.name).label

    @property
    def pressure(self) -> str:
        """Return `full` from the hard mark on, `high` from the soft one, else `normal`."""
        for word, mark in (("full", "hard_mark"), ("high", "soft_mark")):
            bound = getattr(self.queue, mark, None)
            if bound is not None and self.depth.total >= bound:
                return word
        return "normal"


@dataclass(frozen=True, slots=True)
class Standing:
    """One provider, as it stands."""

    slug: str
    circuits: dict[str, dict[str, Any]]
    limits: dict[str, Limits]
    use: dict[str, Use]
    lanes: list[LaneStanding]
    now: datetime

    @property
    def circuit(self) -> dict[str, Any]:
        """The provider's own."""
        return self.circuits[""]

    @property
    def model_circuits(self) -> dict[str, dict[str, Any]]:
        """Those of its models that are not closed, or forced."""
        return {
            model: row
            for model, row in self.circuits.items()
            if model and (row["state"] != "closed" or row["mode"] != "auto")
        }

    @property
    def paused(self) -> TaskQueue | None:
        """The first of its queues that is paused."""
        rows = [lane.queue for lane in self.lanes if lane.queue]
        return next((row for row in rows if row.is_paused(self.now)), None)

    @property
    def state(self) -> str:
        """Return `paused`, `circuit_open`, `provider_retry_after`, `half_open` or `available`."""
        gate = self.circuit["gate"]
        if self.paused:
            return "paused"
        return gate.reason or ("half_open" if gate.probe else "available")

    @property
    def until(self) -> datetime | None:
        """When that may end by itself."""
        return self.paused.paused_until if self.paused else self.circuit["gate"].until

    def meters(self, model: str = "") -> list[Meter]:
        """Return what is used of each limit of the provider, or of one of its models."""
        limits, use = self.limits.get(model, Limits()), self.use.get(model, Use())
        return [Meter(label, getattr(use, name), getattr(limits, bound)) for name, bound, label in RESOURCES]

    @property
    def tightest(self) -> Meter | None:
        """The meter with the least headroom; None where nothing is limited."""
        limited = [meter for meter in self.meters() if meter.share is not None]
        return max(limited, key=lambda meter: meter.share or 0.0, default=None)

    @property
    def waiting(self) -> int:
        """Waiting entries of all lanes."""
        return sum(lane.depth.waiting for lane in self.lanes)

    @property
    def is_estimate(self) -> bool:
        """Is that an estimate?"""
        return any(lane.depth.is_estimate for lane in self.lanes)

    @property
    def parked(self) -> int:
        """Parked entries of all lanes."""
        return sum(lane.depth.parked_total for lane in self.lanes)

    @property
    def is_parked_bound(self) -> bool:
        """Are there more than were counted?"""
        return any(lane.depth.is_parked_bound for lane in self.lanes)

    @property
    def handed(self) -> int:
        """Calls that run or are handed over."""
        return sum(lane.depth.queued + lane.depth.running for lane in self.lanes)

    @property
    def oldest_wait(self) -> timedelta | None:
        """How long the entry waits that waits longest."""
        since = min((lane.depth.oldest_at for lane in self.lanes if lane.depth.oldest_at), default=None)
        return None if since is None else max(self.now - since, timedelta(0))

    @property
    def flow(self) -> Flow:
        """How fast its lanes move together."""
        entered = [lane.flow.entered for lane in self.lanes if lane.flow.entered is not None]
        started = [lane.flow.started for lane in self.lanes if lane.flow.started is not None]
        return Flow(sum(entered), sum(started)) if entered and started else UNMEASURED

    @property
    def clears_in(self) -> timedelta | None:
        """In how long what waits will have started, at the rate of the last minutes; None: not known."""
        started = self.flow.started
        return timedelta(seconds=self.waiting / started) if started else None


def read(now: datetime, slugs: list[str] | None = None) -> list[Standing]:
    """Return how the configured providers stand, or those of them that are named, in the order of the setting."""
    wanted = [slug for slug in routing.slugs() if slugs is None or slug in slugs]
    circuits, limits, use = standing.circuits_of_all(now), standing.limits_of_all(), _use(wanted, now)
    depths, flows = queues.depths(wanted), queues.flows(now)
    rows = {(row.provider, row.lane): row for row in TaskQueue.objects.filter(provider__in=wanted)}
    found = []
    for slug in wanted:
        parts = [(lane, depths[slug][lane], flows.get(slug, {}).get(lane, UNMEASURED)) for lane in Lane.values]
        lanes = [LaneStanding(lane, depth, flow, rows.get((slug, lane))) for lane, depth, flow in parts]
        found.append(Standing(slug, circuits[slug], limits[slug], use[slug], lanes, now))
    return found


def _use(slugs: list[str], now: datetime) -> dict[str, dict[str, Use]]:
    """Return what is taken of each provider's limits, by model; counted as admission counts it."""
    found: dict[str, dict[str, Use]] = defaultdict(lambda: defaultdict(Use))
    handed = QueueEntry.objects.at_provider().filter(provider__in=slugs).order_by()
    tokens = Sum("estimate_input_tokens") + Sum("max_output_tokens")
    for row in handed.values("provider", "model", "state").annotate(count=Count("id"), tokens=tokens):
        is_queued = row["state"] == EntryState.QUEUED
        for model in ("", row["model"]):
            use = found[row["provider"]][model]
            use.slots += row["count"]
            use.requests += row["count"] if is_queued else 0
            use.tokens += row["tokens"] if is_queued else 0
    for provider, window in Attempt.objects.window_use_of_all(slugs, now - capacity.WINDOW):
        for model in ("", window.model):
            use = found[provider][model]
            use.requests += window.requests
            use.tokens += window.tokens
    return found
