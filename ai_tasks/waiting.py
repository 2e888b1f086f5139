"""Why a pending task waits: its blocking reason, its position and when it may start."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Max, Min, Q

from ai_tasks import capacity
from ai_tasks.accounts.models import Attempt
from ai_tasks.capacity import Room
from ai_tasks.models import AIGenerationTask, WorkerProcess
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState

POSITION_BOUND = 1_000
"""Positions are exact up to here."""
RATE_PERIOD = timedelta(minutes=5)
STARTING, IN_TURN = "starting", "in_turn"
"""Handed to a worker that is about to begin; and: others come first, or the dispatcher is about to look."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The answer; `reason` is a gate's word, a parked reason, `starting` or `in_turn`."""

    reason: str
    until: datetime | None
    position: int | None
    """1: next of its queue; null for parked and handed-over ones."""
    expected_start: datetime | None
    """By the starts of the last five minutes; null: unknown."""


def explain(tasks: Iterable[AIGenerationTask], now: datetime) -> dict[UUID, Waiting]:
    """Return why each of these tasks waits; tasks that do not wait are left out. One measurement per provider."""
    pending = [task.pk for task in tasks if task.status == "pending"]
    found: dict[UUID, Waiting] = {}
    rooms: dict[str, Room] = {}
    for entry in QueueEntry.objects.filter(task_id__in=pending):
        if entry.state == EntryState.PARKED:
            found[entry.task_id] = Waiting(entry.parked_reason, entry.parked_until, None, entry.parked_until)
        elif entry.state == EntryState.WAITING:
            if entry.provider not in rooms:
                queues = TaskQueue.objects.filter(provider=entry.provider)
                workers = WorkerProcess.objects.consumers(now)
                rooms[entry.provider] = capacity.measure(entry.provider, workers, queues, now)
            found[entry.task_id] = _in_line(entry, rooms[entry.provider], now)
        else:
            found[entry.task_id] = Waiting(STARTING, None, None, now)
    return found


def _in_line(entry: QueueEntry, room: Room, now: datetime) -> Waiting:
    reason = room.refusal(entry.lane, entry.priority, entry.estimate_tokens)
    position = _position(entry)
    is_closed = entry.lane in room.closed
    until = room.closed_until if is_closed else room.frees_at() if reason.endswith("per_minute") else None
    return Waiting(reason or IN_TURN, until, position, _expected_start(entry, position, until, now))


def _position(entry: QueueEntry) -> int:
    sooner = Q(priority__lt=entry.priority) | Q(priority=entry.priority, fair_tag__lt=entry.fair_tag)
    sooner |= Q(priority=entry.priority, fair_tag=entry.fair_tag, pk__lt=entry.pk)
    ahead = QueueEntry.objects.waiting().of(entry.provider, entry.lane).filter(sooner)
    return int(ahead[:POSITION_BOUND].count()) + 1


def _expected_start(entry: QueueEntry, position: int, until: datetime | None, now: datetime) -> datetime | None:
    recent = Attempt.objects.started_since(entry.provider, now - RATE_PERIOD)
    seen = recent.aggregate(count=Count("id"), first=Min("started_at"), last=Max("started_at"))
    if seen["count"] < 2 or seen["last"] <= seen["first"]:
        return until
    between = (seen["last"] - seen["first"]) / (seen["count"] - 1)
    start: datetime = max(until or now, now) + between * position
    return start
