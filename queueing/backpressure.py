"""
Marks: how many entries there may be before new ones are refused, kept at next to no cost.

The entries' ids do the counting. They come from one sequence, so since a count that found `depth` entries when the
newest had the id `newest_id`, at most `id - newest_id` have come. While `depth + id - newest_id` is within the mark,
the database is not asked at all; then it counts again. A count misses entries whose transactions are still open, so a
mark may be passed by as many as were being submitted while it counted, and by no more (docs/decisions/0010).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queueing.entries import QueueEntryQuerySet

ALWAYS_COUNTED = 1_000
"""Up to here a count costs less than a millisecond: small marks are exact at every moment."""
KEPT_SECONDS = 300.0
"""A count is believed for so long: entries that moved in from other queues are not in it."""
REFUSED_SECONDS = 1.0
"""A large queue that was full is not counted again, but refuses, for so long."""
SCOPES_KEPT = 10_000

Scope = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A bound on some of the entries."""

    scope: Scope
    rows: Callable[[], QueueEntryQuerySet]
    """Makes the query, where it is needed after all."""
    bound: int


@dataclass(frozen=True, slots=True)
class _Count:
    depth: int
    newest_id: int
    counted_at: float

    def is_within(self, bound: int, newest_id: int) -> bool:
        """Is it certain that no more entries than the bound are there, up to the one of that id?"""
        is_fresh = time.monotonic() - self.counted_at < KEPT_SECONDS
        return is_fresh and self.depth + max(newest_id - self.newest_id, 0) <= bound


_counts: dict[Scope, _Count] = {}
_refusals: dict[tuple[Scope, int], tuple[int, float]] = {}


def forget() -> None:
    """Count anew at the next question."""
    _counts.clear()
    _refusals.clear()


def known_depth(mark: Mark) -> int | None:
    """Return the depth found when the mark refused somebody within the last second; None: nobody was refused."""
    depth, until = _refusals.get((mark.scope, mark.bound), (0, 0.0))
    return depth if time.monotonic() < until else None


def depth_beyond(mark: Mark, newest_id: int, count: int) -> int | None:
    """Return how many there were before those `count` up to that id, if with them they are more than the mark."""
    is_small = mark.bound <= ALWAYS_COUNTED
    counted = _counts.get(mark.scope)
    if counted and not is_small and counted.is_within(mark.bound, newest_id):
        return None
    depth = mark.rows()[: mark.bound + count].count()
    if max(len(_counts), len(_refusals)) > SCOPES_KEPT:
        forget()
    if depth <= mark.bound:
        _counts[mark.scope] = _Count(depth, newest_id, time.monotonic())
        return None
    if not is_small and depth - count >= mark.bound:
        _refusals[mark.scope, mark.bound] = depth - count, time.monotonic() + REFUSED_SECONDS
    return depth - count
