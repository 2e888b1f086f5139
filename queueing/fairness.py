"""
Which waiting entry is next: fair among users inside a priority class, aging between the classes.

Inside a class: start-time fair queueing (Goyal, Vin, Cheng 1996). An entry's tag is
`max(V, its user's last tag) + tokens / weight`, where V is the tag admitted last; the smallest tag goes first. A user
who floods a class pushes only their own tags away.

Between classes: the more important class goes first, unless a less important one was passed over although its turn had
come. Class c overtakes class u when u was served later than c was (or c's head came) plus the difference of their
patience. So under a flood of urgent work each class still gets one start in about every `PATIENCE` seconds, and an
urgent entry that comes to an idle class never finds an aged one ahead of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import Q

from queueing.states import Priority

if TYPE_CHECKING:
    from queueing.entries import QueueEntryQuerySet
    from queueing.models import PriorityClass, QueueEntry, TaskQueue

PATIENCE: dict[int, timedelta] = {
    Priority.URGENT: timedelta(0),
    Priority.HIGH: timedelta(seconds=15),
    Priority.NORMAL: timedelta(seconds=60),
    Priority.LOW: timedelta(seconds=300),
    Priority.BULK: timedelta(seconds=900),
}
MOST_READ = 1_000
"""Entries of a class that one pick looks at: so many refused ones may stand before a runnable one."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

NEXT_TAG = """
INSERT INTO queueing_fairshare (queue_id, priority, owner_key, weight, last_tag)
VALUES (%(queue)s, %(priority)s, %(owner)s, 1.0, {clock} + %(tokens)s)
ON CONFLICT (queue_id, priority, owner_key) DO UPDATE SET last_tag = %(tokens)s / queueing_fairshare.weight
    + CASE WHEN queueing_fairshare.last_tag > {clock} THEN queueing_fairshare.last_tag ELSE {clock} END
RETURNING last_tag
""".format(
    clock="(SELECT virtual_time FROM queueing_priorityclass WHERE queue_id = %(queue)s AND priority = %(priority)s)"
)


def next_tag(queue: TaskQueue, *, priority: int, owner_key: str, tokens: int) -> float:
    """Advance the user's share of the class by this much work and return the tag: one statement."""
    values: dict[str, int | str | float] = {
        "queue": queue.pk,
        "priority": priority,
        "owner": owner_key,
        "tokens": float(max(tokens, 1)),
    }
    with connection.cursor() as cursor:
        cursor.execute(NEXT_TAG, values)
        tag: float = cursor.fetchone()[0]
    return tag


class Picker:
    """Yields a queue's waiting entries, best first, reading each class's head only as far as it is taken."""

    def __init__(self, entries: QueueEntryQuerySet, clocks: list[PriorityClass], *, batch: int) -> None:
        self._entries = entries
        self._batch = batch
        self._read_of: dict[int, int] = {}
        self._is_cut: dict[int, bool] = {}
        self._clocks = {clock.priority: clock for clock in sorted(clocks, key=lambda clock: clock.priority)}
        self._heads = {
            priority: self._read(priority) if clock.has_waiting else deque() for priority, clock in self._clocks.items()
        }
        self.served: set[int] = set()
        """Priorities whose clock has moved."""

    def _read(self, priority: int, after: QueueEntry | None = None) -> deque[QueueEntry]:
        """Return the class's next entries: a batch, then twice as many as were read so far, within MOST_READ."""
        entries = self._entries.filter(priority=priority)
        if after is not None:
            entries = entries.filter(Q(fair_tag__gt=after.fair_tag) | Q(pk__gt=after.pk), fair_tag__gte=after.fair_tag)
        so_far = self._read_of.get(priority, 0)
        size = min(max(self._batch, so_far), MOST_READ - so_far)
        found = deque(entries.order_by("fair_tag", "id")[:size])
        # A batch that was not filled was the rest of the class.
        self._is_cut[priority] = len(found) == size
        self._read_of[priority] = so_far + size if self._is_cut[priority] else MOST_READ
        return found

    def __iter__(self) -> Iterator[QueueEntry]:
        while (priority := self._choose()) is not None:
            yield (entry := self._heads[priority].popleft())
            if not self._heads[priority] and self._read_of[priority] < MOST_READ:
                self._heads[priority] = self._read(priority, after=entry)

    @property
    def was_cut(self) -> bool:
        """Did it end because it had read as much as it may, and not because nothing was left?"""
        return any(self._is_cut.values())

    def _choose(self) -> int | None:
        best: int | None = None
        for priority in self._clocks:
            if self._heads[priority] and (best is None or self._overtakes(priority, best)):
                best = priority
        return best

    def _since(self, priority: int) -> datetime:
        served = self._clocks[priority].last_served_at or LONG_AGO
        return max(served, self._heads[priority][0].enqueued_at)

    def _overtakes(self, priority: int, other: int) -> bool:
        turn = self._since(priority) + PATIENCE[priority] - PATIENCE[other]
        return (self._clocks[other].last_served_at or LONG_AGO) > turn

    def serve(self, entry: QueueEntry, now: datetime) -> None:
        """Note that the entry was admitted: its class's clock moves."""
        clock = self._clocks[entry.priority]
        clock.virtual_time = max(clock.virtual_time, entry.fair_tag)
        clock.last_served_at = now
        self.served.add(entry.priority)

    def store(self) -> None:
        """Write the clocks that moved."""
        for priority in self.served:
            self._clocks[priority].save(update_fields=["virtual_time", "last_served_at"])
