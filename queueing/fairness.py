"""
Which waiting entry is next: fair among users inside a priority class, aging between the classes.

Inside a class: start-time fair queueing (Goyal, Vin, Cheng 1996). An entry's tag is
`max(V, its user's last tag) + tokens / weight`, where V is the tag admitted last; the smallest tag goes first. A user
who floods a class pushes only their own tags away. Tokens are estimates; what was really used is charged, and what was
cancelled given back, with the user's next tag. Credit does not outlive the user's backlog: whoever is not ahead of V
starts at V.

Between classes: the more important class goes first, unless a less important one was passed over although its turn had
come. Class c overtakes class u when u was served later than c was (or c's head came) plus the difference of their
patience. So under a flood of urgent work each class still gets one start in about every `PATIENCE` seconds, and an
urgent entry that comes to an idle class never finds an aged one ahead of it. A strict queue has no aging.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
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
INSERT INTO queueing_fairshare (queue_id, priority, owner_key, weight, last_tag, correction, entered)
SELECT %(queue)s, %(priority)s, %(owner)s, 1.0, virtual_time + %(tokens)s, 0.0, %(entered)s
FROM queueing_priorityclass WHERE queue_id = %(queue)s AND priority = %(priority)s
ON CONFLICT (queue_id, priority, owner_key) DO UPDATE SET
    last_tag = CASE WHEN {tag} > {share}.last_tag THEN {tag} ELSE {share}.last_tag + %(step)s / {share}.weight END,
    correction = CASE WHEN {tag} > {share}.last_tag THEN 0
        ELSE ({tag} - {share}.last_tag) * {share}.weight - %(step)s END,
    entered = {share}.entered + %(entered)s
RETURNING last_tag, weight
""".format(
    share=(share := "queueing_fairshare"),
    tag=(
        f"((CASE WHEN {share}.last_tag + {share}.correction / {share}.weight > excluded.last_tag - %(tokens)s "
        f"THEN {share}.last_tag + {share}.correction / {share}.weight ELSE excluded.last_tag - %(tokens)s END) "
        f"+ %(tokens)s / {share}.weight)"
    ),
)
"""`excluded.last_tag - tokens` is V. A tag is never less than the user's last: what is owed beyond stays owed."""


def next_tag(
    queue: TaskQueue, *, priority: int, owner_key: str, tokens: int, is_new: bool = True, is_moved: bool = False
) -> float:
    """
    Advance the user's share of the class by this much work, corrected by what is owed, and return the tag.

    One that is moved there gets a tag beyond the user's last even where credit pays for all of it: of equal tags the
    older entry, which it may be, would go first.

    One statement. The share's row stays locked until the caller's transaction ends: whoever takes several must take
    them in the order of (provider, lane, priority).
    """
    step = float(is_moved or not is_new)
    return _advance(queue, priority, owner_key, tokens=max(tokens, 1), entered=int(is_new), step=step)[0]


def next_tags(queue: TaskQueue, *, priority: int, owner_key: str, tokens: Sequence[int]) -> list[float]:
    """
    Advance the user's share by several new entries, one after the other, and return their tags.

    Two statements for however many: the first entry's, and one for all others, whose tags lie in between.
    """
    works = [max(each, 1) for each in tokens]
    first, _ = _advance(queue, priority, owner_key, tokens=works[0], entered=1)
    if len(works) == 1:
        return [first]
    last, weight = _advance(queue, priority, owner_key, tokens=sum(works[1:]), entered=len(works) - 1)
    behind = accumulate(reversed(works[2:]), initial=0)
    # What credit pays for adds nothing: no tag is less than the first.
    return [first, *(max(first, last - each / weight) for each in reversed(list(behind)))]


def _advance(
    queue: TaskQueue, priority: int, owner_key: str, *, tokens: int, entered: int, step: float = 0.0
) -> tuple[float, float]:
    """Return the share's new last tag and its weight."""
    values: dict[str, int | str | float] = {"queue": queue.pk, "priority": priority, "owner": owner_key}
    with connection.cursor() as cursor:
        cursor.execute(NEXT_TAG, values | {"tokens": float(tokens), "entered": entered, "step": step})
        tag, weight = cursor.fetchone()
    return tag, weight


MISSING_SHARES = """
INSERT INTO queueing_fairshare (queue_id, priority, owner_key, weight, last_tag, correction, entered)
SELECT DISTINCT CAST(%(queue)s AS bigint), priority, owner_key, 1.0, 0.0, 0.0, 0 FROM queueing_queueentry
WHERE provider = %(provider)s AND lane = %(lane)s AND state IN ('waiting', 'parked')
ON CONFLICT (queue_id, priority, owner_key) DO NOTHING
"""
NEW_TAGS = """
UPDATE queueing_queueentry SET fair_tag = derived.tag FROM (
    SELECT entry.id, class.virtual_time + SUM(CAST(
        CASE WHEN estimate_input_tokens + max_output_tokens < 1 THEN 1
        ELSE estimate_input_tokens + max_output_tokens END AS double precision) / share.weight
    ) OVER (PARTITION BY entry.priority, entry.owner_key ORDER BY entry.fair_tag, entry.id) AS tag
    FROM queueing_queueentry AS entry
    JOIN queueing_priorityclass AS class ON class.queue_id = %(queue)s AND class.priority = entry.priority
    JOIN queueing_fairshare AS share ON share.queue_id = %(queue)s AND share.priority = entry.priority
        AND share.owner_key = entry.owner_key
    WHERE entry.provider = %(provider)s AND entry.lane = %(lane)s AND entry.state IN ('waiting', 'parked')
        AND (%(owner)s = '' OR entry.owner_key = %(owner)s)
) AS derived WHERE queueing_queueentry.id = derived.id
"""
NEW_LAST_TAGS = """
UPDATE queueing_fairshare SET correction = 0.0, last_tag = COALESCE((
    SELECT MAX(fair_tag) FROM queueing_queueentry AS entry
    WHERE entry.provider = %(provider)s AND entry.lane = %(lane)s AND entry.owner_key = queueing_fairshare.owner_key
        AND entry.priority = queueing_fairshare.priority AND entry.state IN ('waiting', 'parked')
), 0.0) WHERE queue_id = %(queue)s AND (%(owner)s = '' OR owner_key = %(owner)s)
"""


def derive_anew(queue: TaskQueue, *, owner_key: str = "") -> None:
    """
    Give what waits or is parked in a queue new tags from V on, each user's in the order they had; three statements.

    Only one user's with `owner_key`. The caller has these entries locked, and then the shares.
    """
    values: dict[str, int | str] = {
        "queue": queue.pk,
        "provider": queue.provider,
        "lane": queue.lane,
        "owner": owner_key,
    }
    with connection.cursor() as cursor:
        for statement in (MISSING_SHARES, NEW_TAGS, NEW_LAST_TAGS):
            cursor.execute(statement, values)


class Picker:
    """Yields a queue's waiting entries, best first, reading each class's head only as far as it is taken."""

    def __init__(
        self,
        entries: QueueEntryQuerySet,
        clocks: list[PriorityClass],
        *,
        first: Callable[..., list[QueueEntry]],
        batch: int,
        is_strict: bool = False,
    ) -> None:
        """Pick from `entries`; `first` returns the first batch of a class of them."""
        self._entries = entries
        self._first = first
        self._is_strict = is_strict
        self._batch = batch
        self._read_of: dict[int, int] = {}
        self._is_cut: dict[int, bool] = {}
        self._clocks = {clock.priority: clock for clock in sorted(clocks, key=lambda clock: clock.priority)}
        self._heads = {
            priority: self._read(priority) if clock.head_id else deque() for priority, clock in self._clocks.items()
        }
        self.served: set[int] = set()
        """Priorities whose clock has moved."""

    def _read(self, priority: int, after: QueueEntry | None = None) -> deque[QueueEntry]:
        """Return the class's next entries: a batch, then twice as many as were read so far, within MOST_READ."""
        so_far = self._read_of.get(priority, 0)
        size = min(max(self._batch, so_far), MOST_READ - so_far)
        if after is None:
            found = deque(self._first(priority=priority))
        else:
            behind = Q(fair_tag__gt=after.fair_tag) | Q(pk__gt=after.pk)
            entries = self._entries.filter(behind, priority=priority, fair_tag__gte=after.fair_tag)
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
        if self._is_strict:
            return False
        turn = self._since(priority) + PATIENCE[priority] - PATIENCE[other]
        return (self._clocks[other].last_served_at or LONG_AGO) > turn

    def serve(self, entry: QueueEntry, now: datetime) -> None:
        """Note that the entry was admitted: its class's clock moves."""
        clock = self._clocks[entry.priority]
        clock.virtual_time = max(clock.virtual_time, entry.fair_tag)
        clock.last_served_at = now
        clock.served += 1
        self.served.add(entry.priority)

    def store(self) -> None:
        """Write the clocks that moved."""
        if moved := [self._clocks[priority] for priority in self.served]:
            type(moved[0]).objects.store(moved)
