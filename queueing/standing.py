"""How deep every queue is and how fast it moves: one statement each, and little to read however deep they are."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from queueing.models import FlowSample, PriorityClass, QueueEntry
from queueing.states import EntryState, Lane, Priority
from queueing.status import FLOW_PERIOD, LEAST_MEASURED, SAMPLE_EVERY, Flow, aware

COUNTED = 10_000
"""So many entries are counted one by one; of more the planner's estimate is told, and that it is one."""

WAITING = """
SELECT %s AS provider, %s AS lane, 'waiting' AS state, '' AS reason, COUNT(*) AS number, MIN(enqueued_at) AS oldest
FROM (SELECT enqueued_at FROM queueing_queueentry WHERE provider = %s AND lane = %s AND state = 'waiting'
      ORDER BY enqueued_at LIMIT %s) AS bounded
"""
PARKED = """
SELECT %s, lane, 'parked', parked_reason, COUNT(*), MIN(enqueued_at)
FROM (SELECT lane, parked_reason, enqueued_at FROM queueing_queueentry WHERE provider = %s AND state = 'parked'
      ORDER BY parked_until LIMIT %s) AS bounded GROUP BY lane, parked_reason
"""
OF_CLASS = """
SELECT %s AS lane, %s AS priority, COUNT(*)
FROM (SELECT 1 FROM queueing_queueentry WHERE provider = %s AND lane = %s AND priority = %s AND state = 'waiting'
      ORDER BY fair_tag, id LIMIT %s) AS bounded
"""
HANDED = """
SELECT %s, lane, state, '', COUNT(*), MIN(enqueued_at)
FROM queueing_queueentry WHERE provider = %s AND state IN ('queued', 'running') GROUP BY lane, state
"""


@dataclass(slots=True)
class Depth:
    """The entries of one lane of a provider."""

    waiting: int = 0
    parked: Counter[str] = field(default_factory=Counter)
    """By reason; of more than COUNTED those that are due first."""
    queued: int = 0
    running: int = 0
    oldest_at: datetime | None = None
    """When the entry came that waits longest."""
    is_estimate: bool = False
    """Is `waiting` an estimate?"""
    is_parked_bound: bool = False
    """Are there more parked ones than were counted?"""

    @property
    def parked_total(self) -> int:
        """All parked ones that were counted."""
        return self.parked.total()

    @property
    def total(self) -> int:
        """All entries, as far as they were counted."""
        return self.waiting + self.parked_total + self.queued + self.running


def depths(providers: Iterable[str]) -> dict[str, dict[str, Depth]]:
    """Return the depth of each lane of these providers; one statement, and one more for each very deep lane."""
    found = {provider: {lane: Depth() for lane in Lane.values} for provider in providers}
    for provider, lane, state, reason, number, oldest in _rows(list(found)):
        depth = found[provider][lane]
        if state == EntryState.PARKED:
            depth.parked[reason] = number
        else:
            setattr(depth, state, number)
        if state == EntryState.WAITING:
            depth.oldest_at = aware(oldest)
    for provider, lanes in found.items():
        _mark_deep(provider, lanes)
    return found


def _rows(providers: list[str]) -> list[tuple[Any, ...]]:
    parts, params = [], list[Any]()
    for provider in providers:
        for lane in Lane.values:
            parts.append(WAITING)
            params += [provider, lane, provider, lane, COUNTED + 1]
        parts += [PARKED, HANDED]
        params += [provider, provider, COUNTED + 1, provider, provider]
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), params)
        return list(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class ClassDepth:
    """What waits in one priority class of a lane."""

    lane: str
    priority: Priority
    waiting: int
    is_bound: bool
    """Are there more than were counted?"""
    last_served_at: datetime | None
    """When one of it was last admitted; None: never."""


def classes(provider: str) -> list[ClassDepth]:
    """Return what waits in each class of each lane of a provider, two queries."""
    places = [(lane, int(priority)) for lane in Lane.values for priority in Priority]
    params = [each for lane, priority in places for each in (lane, priority, provider, lane, priority, COUNTED + 1)]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join([OF_CLASS] * len(places)), params)
        counts = {(lane, int(priority)): number for lane, priority, number in cursor.fetchall()}
    rows = PriorityClass.objects.filter(queue__provider=provider)
    served = {
        (lane, priority): at for lane, priority, at in rows.values_list("queue__lane", "priority", "last_served_at")
    }
    return [
        ClassDepth(lane, Priority(each), min(number, COUNTED), number > COUNTED, served.get((lane, each)))
        for (lane, each), number in ((place, counts[place]) for place in places)
    ]


def _mark_deep(provider: str, lanes: dict[str, Depth]) -> None:
    is_parked_bound = sum(depth.parked_total for depth in lanes.values()) > COUNTED
    for lane, depth in lanes.items():
        depth.is_parked_bound = is_parked_bound
        if depth.waiting > COUNTED:
            depth.waiting, depth.is_estimate = estimate(QueueEntry.objects.of(provider, lane).waiting())


def estimate(rows: QuerySet[Any]) -> tuple[int, bool]:
    """Return how many rows there are, and whether that is an estimate: PostgreSQL's, from its statistics."""
    if connection.vendor != "postgresql":
        return rows.count(), False
    text, params = rows.order_by().values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {text}", params)
        told = cursor.fetchone()[0]
    return int(told[0]["Plan"]["Plan Rows"]), True


def flows(now: datetime) -> dict[str, dict[str, Flow]]:
    """Return how fast each lane of each provider moved in the last minutes, by the samples of that time."""
    recent = FlowSample.objects.filter(taken_at__gt=now - FLOW_PERIOD - SAMPLE_EVERY).select_related("queue")
    found: dict[str, dict[str, Flow]] = {}
    for queue, group in groupby(recent.order_by("queue__provider", "queue__lane", "taken_at"), lambda row: row.queue):
        samples = list(group)
        first, last = samples[0], samples[-1]
        seconds = (last.taken_at - first.taken_at).total_seconds()
        if seconds >= LEAST_MEASURED.total_seconds():
            speed = partial(_speed, first, last, seconds)
            found.setdefault(queue.provider, {})[queue.lane] = Flow(speed("entered"), speed("served"))
    return found


def _speed(first: FlowSample, last: FlowSample, seconds: float, name: str) -> float:
    return float(getattr(last, name) - getattr(first, name)) / seconds


def newest_sample_at() -> datetime | None:
    """Return when the sweep last measured the queues, once a minute; None: never, or long ago."""
    return FlowSample.objects.order_by("-taken_at").values_list("taken_at", flat=True).first()
