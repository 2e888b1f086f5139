"""
Waiting entries whose provider is shut, or too slow for their route's patience, go to the route's next willing provider.

Bounded batches, and no more than the other provider has room for now: what would only wait there may as well wait here,
where it is served first when the provider comes back (docs/decisions/0013).
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from ai_tasks import capacity
from ai_tasks.capacity import Room
from ai_tasks.lease import announce
from ai_tasks.locks import take_provider_lock
from ai_tasks.purse import Purse
from ai_tasks.states import TaskStatus
from providers import routing
from providers.types import OPEN_GATE, Candidate, Gate
from queueing.entries import QueueEntryQuerySet
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Lane

HEADS = 500
"""Entries of a lane that one round looks at, best first: many of them may have nowhere else to go."""
BATCH = capacity.MAX_QUEUED
"""Entries that one round moves at most."""

Workers = list[tuple[list[str], int]]


@dataclass(slots=True)
class _Round:
    """One look at one provider's waiting entries."""

    tasks: QuerySet[Any]
    provider: str
    workers: Workers
    gate: Gate
    patience: dict[str, timedelta]
    now: datetime
    moved: int = 0
    rooms: dict[str, Room] = field(default_factory=dict)

    def leaves(self, entry: QueueEntry, alias: str) -> bool:
        """Would the entry wait here for longer than its route is ready to?"""
        if self.gate.reason == "circuit_open":
            return True
        wait = self.now - entry.enqueued_at
        if self.gate.until:
            wait = max(wait, self.gate.until - self.now)
        return alias in self.patience and wait > self.patience[alias]

    def takes(self, entry: QueueEntry, candidate: Candidate) -> bool:
        """Has another provider room for the entry now, behind all that waits there already?"""
        if candidate.provider == self.provider or candidate.provider not in routing.slugs():
            return False
        room, tokens = self._room(candidate.provider), entry.estimate_tokens
        return not (
            room.is_larger_than_limits(candidate.model, tokens)
            or room.is_probe
            or room.gates.get(candidate.model, OPEN_GATE) != OPEN_GATE
            or room.refusal(entry.lane, entry.priority, tokens)
            or room.model_refusal(candidate.model, tokens)
        )

    def _room(self, provider: str) -> Room:
        if provider not in self.rooms:
            lanes = TaskQueue.objects.filter(provider=provider)
            room = self.rooms[provider] = capacity.measure(provider, self.workers, lanes, self.now)
            for ahead in QueueEntry.objects.waiting().of(provider).order_by()[:BATCH]:
                room.take(ahead)
        return self.rooms[provider]

    def move(self, entries: list[QueueEntry], tasks: dict[UUID, Any], purse: Purse) -> None:
        """Send on what leaves and is taken elsewhere; the money is held at the other provider's admission."""
        why = "circuit_open" if self.gate.reason == "circuit_open" else "expected_wait"
        for entry in entries:
            task = tasks[entry.task_id]
            if self.moved < BATCH and purse.moves_on(entry, why, partial(self.takes, entry)):
                task.refresh_from_db(fields=["provider", "model", "route_policy"])
                self.rooms[task.provider].take(entry)
                self.moved += 1
                announce(task, TaskStatus.PENDING)


@transaction.atomic
def divert(tasks: QuerySet[Any], provider: str, *, workers: Workers, now: datetime) -> int | None:
    """
    Move waiting entries of the provider that should not wait there to where there is room; return how many.

    None: its circuit is not open, and no route is impatient; then nothing leaves.

    Atomic, under the provider's lock, so that of several processes one at a time diverts.
    """
    gate = routing.gate(provider, now)
    patience = routing.patience()
    if gate.reason != "circuit_open" and not patience:
        return None
    take_provider_lock(provider)
    found = _Round(tasks, provider, workers, gate, patience, now)
    purse = Purse(tasks, now)
    for lane in Lane.values:
        leaving = _leaving(found, QueueEntry.objects.waiting().of(provider, lane))
        locked = QueueEntry.objects.waiting().filter(pk__in=[entry.pk for entry, _ in leaving][: 2 * BATCH])
        # Shares are locked by provider, lane and class; best first within.
        entries = locked.select_for_update(skip_locked=True).order_by("priority", "fair_tag", "id")
        found.move(list(entries), {task.pk: task for _, task in leaving}, purse)
    return found.moved


def _leaving(found: _Round, waiting: QueueEntryQuerySet) -> list[tuple[QueueEntry, Any]]:
    """Return, best first, those that have another place on their route and wait too long here, with their tasks."""
    best_first = waiting.order_by("priority", "fair_tag", "id")
    columns = ("owner_id", "status", "epoch", "provider", "model", "route", "route_position", "requested_model")
    # Each process asks this every second while something waits: the database leaves out what has nowhere else to go.
    rows = found.tasks.filter(pk__in=best_first.values("task_id")[:HEADS], route__1__isnull=False)
    if found.gate.reason != "circuit_open":
        rows = rows.filter(requested_model__in=found.patience)
    tasks = {task.pk: task for task in rows.only(*columns, "related_type", "related_id")}
    tasks = {pk: task for pk, task in tasks.items() if len(task.route) > task.route_position + 1}
    pairs = [(entry, tasks[entry.task_id]) for entry in best_first.filter(task_id__in=tasks)]
    return [(entry, task) for entry, task in pairs if found.leaves(entry, task.requested_model)]
