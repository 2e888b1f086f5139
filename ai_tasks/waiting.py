"""Why a pending task waits: its blocking reason, its position and when it may start."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Max, Min

from ai_tasks import affordability, capacity
from ai_tasks.accounts.models import Attempt
from ai_tasks.affordability import BudgetState
from ai_tasks.capacity import Room
from ai_tasks.models import AIGenerationTask, WorkerProcess
from ai_tasks.states import TaskStatus
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState, ParkedReason

POSITION_BOUND = 1_000
"""Positions are exact up to here."""
FRESH_SECONDS = 1.0
RATE_PERIOD = timedelta(minutes=5)
STARTING, IN_TURN, NO_WORKER = "starting", "in_turn", "no_worker"
"""Handed to a worker that is about to begin; others come first, or the dispatcher is about to look; none is there."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The answer; `reason` is a gate's word, a parked reason, `starting` or `in_turn`."""

    reason: str
    until: datetime | None
    position: int | None
    """1: next of its queue; null for parked and handed-over ones."""
    expected_start: datetime | None
    """By the starts of the last five minutes; null: unknown, or somebody has to do something first."""
    budget: BudgetState | None = None
    """Which budget has no room, its limit, its use and when it begins anew, where that is the reason."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One queue as it was measured: its room, who stands where, and the time between two starts."""

    room: Room
    positions: dict[int, int]
    between_starts: timedelta | None
    measured_at: float

    def position(self, entry: QueueEntry) -> int:
        """Return the entry's place; one that came since stands at the end."""
        return self.positions.get(entry.pk, len(self.positions) + 1)


_lines: dict[tuple[str, str], _Line] = {}


def forget() -> None:
    """Measure anew at the next question."""
    _lines.clear()


def explain(
    tasks: Iterable[AIGenerationTask], now: datetime, *, known: Iterable[QueueEntry] = ()
) -> dict[UUID, Waiting]:
    """
    Return why each of these tasks waits; tasks that do not wait are left out.

    A queue is measured at most once a second by each process, for however many tasks. `known`: entries that were just
    written, which are not read again.
    """
    found: dict[UUID, Waiting] = {}
    entries = list(known)
    pending = {task.pk for task in tasks if task.status == TaskStatus.PENDING}
    if unknown := pending - {entry.task_id for entry in entries}:
        entries += QueueEntry.objects.filter(task_id__in=unknown)
    tight = affordability.states(
        {each.parked_key for each in entries if each.parked_reason == ParkedReason.BUDGET}, now
    )
    for entry in entries:
        if entry.state == EntryState.PARKED:
            until, budget = entry.parked_until, tight.get(entry.parked_key)
            found[entry.task_id] = Waiting(entry.parked_reason, until, None, until, budget)
        elif entry.state == EntryState.WAITING:
            found[entry.task_id] = _in_line(entry, _line(entry.provider, entry.lane, now), now)
        else:
            found[entry.task_id] = Waiting(STARTING, None, None, now)
    return found


def _line(provider: str, lane: str, now: datetime) -> _Line:
    line = _lines.get((provider, lane))
    if line is None or time.monotonic() - line.measured_at > FRESH_SECONDS:
        queues = TaskQueue.objects.filter(provider=provider)
        room = capacity.measure(provider, WorkerProcess.objects.consumers(now), queues, now)
        order = QueueEntry.objects.waiting().of(provider, lane).order_by("priority", "fair_tag", "id")
        places = enumerate(order.values_list("pk", flat=True)[:POSITION_BOUND], start=1)
        positions = {pk: place for place, pk in places}
        line = _lines[provider, lane] = _Line(room, positions, _between_starts(provider, now), time.monotonic())
    return line


def _in_line(entry: QueueEntry, line: _Line, now: datetime) -> Waiting:
    room, position = line.room, line.position(entry)
    reason = room.refusal(entry.lane, entry.priority, entry.estimate_tokens)
    gate = room.closed.get(entry.lane)
    until = gate.until if gate else room.frees_at() if reason.endswith("per_minute") else None
    if until is None and (gate or reason == NO_WORKER):
        return Waiting(reason, None, position, None)
    expected = until if line.between_starts is None else max(until or now, now) + line.between_starts * position
    return Waiting(reason or IN_TURN, until, position, expected)


def _between_starts(provider: str, now: datetime) -> timedelta | None:
    recent = Attempt.objects.started_since(provider, now - RATE_PERIOD)
    seen = recent.aggregate(count=Count("id"), first=Min("started_at"), last=Max("started_at"))
    if seen["count"] < 2 or seen["last"] <= seen["first"]:
        return None
    between: timedelta = (seen["last"] - seen["first"]) / (seen["count"] - 1)
    return between
