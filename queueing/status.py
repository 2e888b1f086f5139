"""How full, how old, how fast: the status verbs of TaskQueue.objects, its marks, and the pause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Sum
from django.utils.dateparse import parse_datetime

from queueing import backpressure
from queueing.backpressure import Mark, Scope
from queueing.entries import QueueEntryQuerySet, QueueRows
from queueing.errors import QueueFull
from queueing.states import EntryState, Lane, Priority

if TYPE_CHECKING:
    from queueing.models import QueueEntry, TaskQueue

FLOW_PERIOD = timedelta(minutes=5)
"""Rates are means over so long."""
SAMPLE_EVERY = timedelta(seconds=50)
"""A queue has one sample a minute, however many beats there are."""
LEAST_MEASURED = timedelta(seconds=5)
UNKNOWN_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30, 300


class Flow(NamedTuple):
    """Entries a second, in and out, over the last five minutes; None: not measured yet."""

    entered: float | None
    started: float | None


OUTLOOK = """
SELECT EXISTS (SELECT 1 FROM queueing_queueentry WHERE provider = %s AND state = 'waiting'),
       (SELECT MIN(parked_until) FROM queueing_queueentry WHERE provider = %s AND state = 'parked')
"""


class Outlook(NamedTuple):
    """What is there to do for a provider."""

    has_waiting: bool
    next_due: datetime | None
    """When the first parked entry is due; None: none has a time."""


class StatusVerbs(QueueRows):
    """Part of the TaskQueue repository."""

    def get_queue_length(self, provider: str, *, lane: str | None = None) -> int:
        """Count a provider's live entries: waiting, parked, queued and running."""
        return int(self.entries.of(provider, lane).count())

    def is_queue_full(
        self,
        provider: str,
        *,
        lane: str = Lane.DEFAULT,
        owner_id: int | None = None,
        priority: Priority = Priority.NORMAL,
    ) -> bool:
        """Would one more entry be refused, by the queue's mark, the total one, or the user's when one is given?"""
        marks = self._marks(self.queue(provider, lane), str(owner_id or ""), priority)
        return any(mark.rows()[: mark.bound].count() >= mark.bound for mark in marks)

    # Marks.

    def _marks(self, queue: TaskQueue, owner_key: str, priority: int) -> list[Mark]:
        """Return the marks that bound a new entry; `bulk` work is turned away at the soft one already."""
        here = partial(self.entries.of, queue.provider, queue.lane)
        ends = (queue.hard_mark, queue.soft_mark if priority == Priority.BULK else None)
        bounds: list[tuple[Scope, Callable[[], QueueEntryQuerySet], int | None]] = [
            (("queue", queue.pk), here, min((end for end in ends if end is not None), default=None)),
            (("user", queue.pk, owner_key), lambda: here().filter(owner_key=owner_key), queue.user_mark),
            (("total",), self.entries.all, settings.AI_QUEUE_TOTAL_MARK),
        ]
        return [Mark(scope, rows, bound) for scope, rows, bound in bounds if bound is not None]

    def _refusal(self, mark: Mark, queue: TaskQueue, depth: int, now: datetime) -> QueueFull:
        """Return the error, with the time in which the queue starts a hundredth of the mark as it does now."""
        flow = self.flow(queue.provider, queue.lane, now=now)
        fits, depth = max(mark.bound - depth, 0), max(mark.bound, depth)
        places = depth - mark.bound + max(1, mark.bound // 100)
        wait = UNKNOWN_WAIT_SECONDS if flow.started is None else LONGEST_WAIT_SECONDS
        if flow.started:
            wait = min(max(int(places / flow.started) + 1, 1), LONGEST_WAIT_SECONDS)
        scope = str(mark.scope[0])
        return QueueFull(depth=depth, mark=mark.bound, retry_after_seconds=wait, scope=scope, fits=fits)

    def _refuse_known_full(self, marks: list[Mark], queue: TaskQueue, now: datetime) -> None:
        """Raise QueueFull where a mark refused somebody just now: no row is written, none is read."""
        for mark in marks:
            if (depth := backpressure.known_depth(mark)) is not None:
                raise self._refusal(mark, queue, depth, now)

    def _refuse_beyond(self, marks: list[Mark], queue: TaskQueue, entries: Sequence[QueueEntry], now: datetime) -> None:
        """Raise QueueFull, so that the caller's savepoint is undone, if these new entries are too many."""
        for mark in marks:
            if (depth := backpressure.depth_beyond(mark, entries[-1].pk, len(entries))) is not None:
                raise self._refusal(mark, queue, depth, now)

    # Rates.

    def note_flow(self, now: datetime) -> int:
        """Store how many entries each queue took in and let out so far, once a minute; return how many samples."""
        samples = self.model.sample_model().objects
        samples.filter(taken_at__lt=now - 2 * FLOW_PERIOD).delete()
        recent = samples.filter(taken_at__gt=now - SAMPLE_EVERY).values("queue")
        due = list(self.exclude(pk__in=recent))
        fresh = [samples.model(queue=queue, taken_at=now, **self._totals(queue)) for queue in due]
        return len(samples.bulk_create(fresh))

    def _totals(self, queue: TaskQueue) -> dict[str, int]:
        entered = queue.shares.aggregate(sum=Sum("entered"))["sum"] or 0
        return {"entered": entered, "served": queue.classes.aggregate(sum=Sum("served"))["sum"] or 0}

    def flow(self, provider: str, lane: str | None = None, *, now: datetime) -> Flow:
        """Return how fast entries come to and leave a provider's queue, its lanes together unless one is given."""
        rates = []
        for queue in self.filter(provider=provider, **({"lane": lane} if lane else {})):
            oldest = queue.samples.filter(taken_at__gt=now - FLOW_PERIOD - SAMPLE_EVERY).order_by("taken_at").first()
            if oldest and now - oldest.taken_at >= LEAST_MEASURED:
                seconds, totals = (now - oldest.taken_at).total_seconds(), self._totals(queue)
                rates.append([(totals[name] - getattr(oldest, name)) / seconds for name in ("entered", "served")])
        return Flow(sum(rate[0] for rate in rates), sum(rate[1] for rate in rates)) if rates else Flow(None, None)

    def get_queue_stats(self, provider: str, *, lane: str | None = None, now: datetime) -> dict[str, Any]:
        """
        Return the counts of one provider's queue, how fast it moves, and the longest wait.

        Keys: `waiting`, `parked` (by reason), `queued`, `running`, `dead` (open dead letters), `oldest_wait_seconds`,
        `pressure` (`normal`, from the soft mark on `high`, from the hard one on `full`; of several lanes the worst),
        `in_per_second` and `out_per_second` (of the last five minutes) and `expected_wait_seconds` (of an entry that
        comes now and has everybody ahead of it); the last three are None until they are known.
        """
        entries = self.entries.of(provider, lane)
        states: Counter[str] = Counter()
        depths: Counter[str] = Counter()
        for its_lane, state, count in entries.values_list("lane", "state").annotate(count=Count("id")):
            states[state] += count
            depths[its_lane] += count
        oldest = entries.waiting().aggregate(oldest=Min("enqueued_at"))["oldest"]
        parked = entries.parked().values_list("parked_reason").annotate(count=Count("id"))
        letters = self.model.dead_letter_model().objects.open().filter(provider=provider)
        waiting, flow = states[EntryState.WAITING], self.flow(provider, lane, now=now)
        return {
            "waiting": waiting,
            "parked": dict(parked),
            "queued": states[EntryState.QUEUED],
            "running": states[EntryState.RUNNING],
            "dead": letters.filter(**({"lane": lane} if lane else {})).count(),
            "oldest_wait_seconds": (now - oldest).total_seconds() if oldest else 0.0,
            "pressure": self._pressure(provider, depths),
            "in_per_second": flow.entered,
            "out_per_second": flow.started,
            "expected_wait_seconds": (waiting + 1) / flow.started if flow.started else None,
        }

    def _pressure(self, provider: str, depths: Counter[str]) -> str:
        queues = list(self.filter(provider=provider))
        for word, field in (("full", "hard_mark"), ("high", "soft_mark")):
            marks = [(depths[queue.lane], getattr(queue, field)) for queue in queues]
            if any(mark is not None and depth >= mark for depth, mark in marks):
                return word
        return "normal"

    def outlook(self, provider: str) -> Outlook:
        """Return whether anything waits and when the first parked entry is due: a look without locks, one statement."""
        with connection.cursor() as cursor:
            cursor.execute(OUTLOOK, [provider, provider])
            has_waiting, due = cursor.fetchone()
        return Outlook(bool(has_waiting), aware(due))

    # What operators set.

    CONFIGURABLE = ("soft_mark", "hard_mark", "user_mark", "user_slots", "is_strict")

    def configure(self, pk: int, **values: int | bool | None) -> bool:
        """Set marks, bounds or the order of a queue; False: there is none. Raises ValueError for any other field."""
        if unknown := set(values) - set(self.CONFIGURABLE):
            raise ValueError(f"Not to be set: {', '.join(sorted(unknown))}.")
        return not values or bool(self.filter(pk=pk).update(**values))

    def pause(
        self,
        provider: str,
        *,
        reason: str,
        until: datetime | None = None,
        is_draining: bool = False,
        now: datetime,
    ) -> int:
        """
        Stop admission and starts for all lanes of a provider; return how many lanes changed.

        With `is_draining` what was handed over already still begins.
        """
        for lane in Lane:
            self.queue(provider, lane)
        values = {"paused_until": until, "pause_reason": reason[:200], "is_draining": is_draining}
        return self.filter(provider=provider).update(paused_at=now, **values)

    def resume(self, provider: str) -> int:
        """Let a provider's lanes go on; return how many changed."""
        paused = self.filter(provider=provider, paused_at__isnull=False)
        return paused.update(paused_at=None, paused_until=None, pause_reason="", is_draining=False)


def aware(value: datetime | str | None) -> datetime | None:
    """Return what a bare cursor gave as a time: SQLite keeps text, in UTC."""
    found = parse_datetime(value) if isinstance(value, str) else value
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
