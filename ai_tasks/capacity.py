"""
What a provider can take now: every provider-wide gate, counted from rows inside the admission transaction.

A rate window's use is what is handed over but not started, plus what started in the last 61 seconds. Every start in
any real minute was one or the other when the last of them was admitted, so the limit holds at the provider although
messages wait in the broker in between.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Sum

from ai_tasks.accounts.models import Attempt
from providers import routing
from providers.types import Gate, Limits
from queueing.models import QueueEntry, TaskQueue
from queueing.statements import Select
from queueing.states import EntryState, Lane, Priority

WINDOW = timedelta(seconds=61)
"""A minute, and a second for clocks and the way to the provider."""
MAX_QUEUED = 32
"""Entries of a provider that may stand in Celery at once: the most that an urgent one finds ahead of it."""
UNLIMITED = 1_000_000_000


HANDED = ("provider", "lane", "model", "priority", "state", "count", "tokens")
_handed = Select(
    lambda: (
        QueueEntry.objects.at_provider()
        .values(*HANDED[:5])
        .annotate(count=Count("id"), tokens=Sum("estimate_input_tokens") + Sum("max_output_tokens"))
    )
)


@dataclass(slots=True)
class Use:
    """What is taken already, of the provider or of one model."""

    slots: int = 0
    requests: int = 0
    tokens: int = 0
    oldest: datetime | None = None
    """Oldest start in the window: when some of it comes free again."""


@dataclass(slots=True)
class Room:
    """What one provider still has; `take` counts it down."""

    limits: dict[str, Limits]
    use: dict[str, Use]
    """By model; "" is the provider as a whole."""
    free_threads: dict[str, int]
    """Of live consumers, by lane."""
    in_lane: Counter[str] = field(default_factory=Counter)
    not_urgent: int = 0
    queued: int = 0
    closed: dict[str, Gate] = field(default_factory=dict)
    """Lanes that nothing passes, why, and until when."""
    at_most: int = UNLIMITED
    """1 for a half-open circuit's probe."""
    is_probe: bool = False
    gates: dict[str, Gate] = field(default_factory=dict)
    """The provider's (""), and those of models that are in trouble by themselves."""

    def refusal(self, lane: str, priority: int, tokens: int) -> str:
        """Return why the provider cannot take one more of these now; empty when it can."""
        whole, use = self.limits[""], self.use[""]
        if lane in self.closed:
            return self.closed[lane].reason
        slots = UNLIMITED if whole.max_concurrency is None else whole.max_concurrency
        reserved = 1 if slots >= 4 and slots != UNLIMITED and priority != Priority.URGENT else 0
        checks = (
            (self.at_most < 1, "circuit_open"),
            (self.free_threads.get(lane, 0) < 1, "no_worker"),
            (self.queued >= MAX_QUEUED, "handing_over"),
            (use.slots >= slots or (reserved and self.not_urgent >= slots - reserved), "concurrency"),
            (lane == Lane.LONG and self.in_lane[lane] >= max(1, slots // 2), "lane_share"),
            (use.requests >= _or_unlimited(whole.requests_per_minute), "requests_per_minute"),
            (use.tokens > 0 and use.tokens + tokens > _or_unlimited(whole.tokens_per_minute), "tokens_per_minute"),
        )
        return next((reason for is_shut, reason in checks if is_shut), "")

    def model_refusal(self, model: str, tokens: int) -> str:
        """Return why this model's own limits refuse one more now; empty when they do not."""
        limits = self.limits.get(model)
        if limits is None:
            return ""
        use = self.use.setdefault(model, Use())
        checks = (
            (use.slots >= _or_unlimited(limits.max_concurrency), "concurrency"),
            (use.requests >= _or_unlimited(limits.requests_per_minute), "requests_per_minute"),
            (use.tokens > 0 and use.tokens + tokens > _or_unlimited(limits.tokens_per_minute), "tokens_per_minute"),
        )
        return next((reason for is_shut, reason in checks if is_shut), "")

    def is_larger_than_limits(self, model: str, tokens: int) -> bool:
        """Would it be too large even for an empty minute?"""
        bounds = (self.limits[""].tokens_per_minute, self.limits.get(model, Limits()).tokens_per_minute)
        return any(bound is not None and tokens > bound for bound in bounds)

    def opens_at(self) -> datetime | None:
        """Return when time alone opens the first of the closed lanes; None: it opens none."""
        return min((gate.until for gate in self.closed.values() if gate.until), default=None)

    def frees_at(self, model: str = "") -> datetime | None:
        """Return when time alone gives some of the window back; None when nothing is in it."""
        oldest = self.use.get(model, Use()).oldest
        return oldest + WINDOW if oldest else None

    def take(self, entry: QueueEntry) -> None:
        """Count one more as handed over."""
        for key in ("", entry.model):
            use = self.use.setdefault(key, Use())
            use.slots += 1
            use.requests += 1
            use.tokens += entry.estimate_tokens
        self.in_lane[entry.lane] += 1
        self.not_urgent += entry.priority != Priority.URGENT
        self.queued += 1
        self.at_most -= 1
        for lane in self.free_threads:
            self.free_threads[lane] -= 1


def _or_unlimited(bound: int | None) -> int:
    return UNLIMITED if bound is None else bound


def measure(provider: str, workers: list[tuple[list[str], int]], queues: Iterable[TaskQueue], now: datetime) -> Room:
    """
    Return the room a provider has, from its gates, entries, attempts and the live workers' (queues, threads).

    Call it inside the admission transaction, under the provider's lock.
    """
    handed = [dict(zip(HANDED, row, strict=True)) for row in _handed.tuples()]
    room = Room(routing.limits(provider), {"": Use()}, _free_threads(provider, workers, handed))
    _close_gates(room, provider, queues, now)
    for row in handed:
        if row["provider"] == provider:
            _count_handed(room, row)
    if any(each.requests_per_minute or each.tokens_per_minute for each in room.limits.values()):
        _count_window(room, provider, now)
    return room


def _close_gates(room: Room, provider: str, queues: Iterable[TaskQueue], now: datetime) -> None:
    for queue in queues:
        if queue.is_paused(now):
            room.closed[queue.lane] = Gate("paused", queue.paused_until)
    room.gates = routing.gates(provider, now)
    gate = room.gates[""]
    if gate.probe:
        room.at_most, room.is_probe = 1, True
    elif gate.reason:
        room.closed = {**dict.fromkeys(Lane.values, gate), **room.closed}


def _count_handed(room: Room, row: dict[str, Any]) -> None:
    is_queued = row["state"] == EntryState.QUEUED
    for key in ("", row["model"]):
        use = room.use.setdefault(key, Use())
        use.slots += row["count"]
        use.requests += row["count"] if is_queued else 0
        use.tokens += row["tokens"] if is_queued else 0
    room.in_lane[row["lane"]] += row["count"]
    room.not_urgent += row["count"] if row["priority"] != Priority.URGENT else 0
    room.queued += row["count"] if is_queued else 0


def _count_window(room: Room, provider: str, now: datetime) -> None:
    for model, requests, tokens, oldest in Attempt.objects.window_use(provider, now - WINDOW):
        for key in ("", model):
            use = room.use.setdefault(key, Use())
            use.requests += requests
            use.tokens += tokens
            use.oldest = min(filter(None, (use.oldest, oldest)))


def celery_queue(provider: str, lane: str) -> str:
    """Return the name of the Celery queue that carries a provider's lane."""
    return f"ai.{provider}.{lane}"


def _free_threads(provider: str, workers: list[tuple[list[str], int]], handed: list[dict[str, Any]]) -> dict[str, int]:
    """Threads of the workers that consume a lane, less everything handed over to any queue of theirs."""
    free = {}
    for lane in Lane.values:
        consumers = [worker for worker in workers if celery_queue(provider, lane) in worker[0]]
        queues = {name for names, _ in consumers for name in names}
        busy = sum(row["count"] for row in handed if celery_queue(row["provider"], row["lane"]) in queues)
        free[lane] = sum(threads for _, threads in consumers) - busy
    return free
