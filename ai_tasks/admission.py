"""Station 2, ADMIT: choose the best waiting entries that a provider has room for, in one short transaction."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Min, QuerySet

from ai_tasks import capacity, clock
from ai_tasks.accounts import budgets
from ai_tasks.accounts.fields import to_quantum
from ai_tasks.accounts.models import Attempt, BudgetPeriod
from ai_tasks.capacity import Room
from ai_tasks.locks import take_provider_lock
from ai_tasks.states import TaskStatus
from providers import gateway, routing
from providers.types import Candidate, Usage
from queueing.fairness import Picker
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState, ParkedReason

logger = logging.getLogger(__name__)

BATCH = capacity.MAX_QUEUED
"""Entries read per class and plan."""
PROBE_LEASE = timedelta(seconds=120)
LOOK_AGAIN = timedelta(seconds=1)
"""How soon to look again while something waits and no window says when."""
MODEL_SLOT_WAIT = timedelta(seconds=5)

ZERO = Decimal(0)

Workers = list[tuple[list[str], int]]


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One entry to hand to Celery."""

    task_id: UUID
    epoch: int
    dispatch_id: UUID
    provider: str
    lane: str


@dataclass(slots=True)
class Plan:
    """What one admission did."""

    dispatches: list[Dispatch] = field(default_factory=list)
    next_wake_at: datetime | None = None
    """When time alone may free something; None: only an event can."""


@transaction.atomic
def plan(
    tasks: QuerySet[Any], provider: str, *, workers: Workers, limit: int = BATCH, now: datetime | None = None
) -> Plan:
    """
    Admit what the provider has room for, best first, and return what to send and when to look again.

    Atomic under the provider's lock. Each admitted entry is `queued` with its epoch one higher, has an attempt row and
    its money held; each entry refused by a gate of its own is parked with the reason and the key that wakes it.
    """
    take_provider_lock(provider)
    now = now or clock.now()
    QueueEntry.objects.due(now).of(provider).wake()
    room = capacity.measure(provider, workers, now)
    result = Plan()
    for lane in TaskQueue.objects.occupied_lanes(provider):
        _Admission(tasks, room, provider, lane, now).fill(result, limit)
    result.next_wake_at = _next_wake(provider, room, now)
    return result


def _next_wake(provider: str, room: Room, now: datetime) -> datetime | None:
    due = QueueEntry.objects.parked().of(provider).aggregate(soonest=Min("parked_until"))["soonest"]
    times = [due, room.closed_until]
    if QueueEntry.objects.waiting().of(provider).exists():
        times.append(room.frees_at() or now + LOOK_AGAIN)
    return min((max(time, now) for time in times if time is not None), default=None)


class _Admission:
    """One provider's lane in one plan."""

    def __init__(self, tasks: QuerySet[Any], room: Room, provider: str, lane: str, now: datetime) -> None:
        self.tasks = tasks
        self.room = room
        self.provider = provider
        self.lane = lane
        self.now = now

    def fill(self, result: Plan, limit: int) -> None:
        """Admit entries until the lane is empty or a gate of the whole provider refuses."""
        if self.room.refusal(self.lane, 0, 0):
            return
        queue = TaskQueue.objects.queue(self.provider, self.lane)
        picker = TaskQueue.objects.picker(queue, batch=min(limit, BATCH))
        for entry in picker:
            if len(result.dispatches) >= limit or self._stops_at(entry):
                break
            if dispatch := self._admit(entry, picker):
                result.dispatches.append(dispatch)
        picker.store()

    def _stops_at(self, entry: QueueEntry) -> bool:
        """Is the provider full for the best entry? Smaller ones behind it must not starve it."""
        if self.room.is_larger_than_limits(entry.model, entry.estimate_tokens):
            return False
        return bool(self.room.refusal(entry.lane, entry.priority, entry.estimate_tokens))

    def _admit(self, entry: QueueEntry, picker: Picker) -> Dispatch | None:
        if self._parks(entry):
            return None
        if self.room.is_probe and not routing.take_probe(self.provider, self.now + PROBE_LEASE, self.now):
            self.room.at_most = 0
            return None
        dispatch = Dispatch(entry.task_id, entry.epoch + 1, uuid4(), entry.provider, entry.lane)
        if not self._hand_over(entry, dispatch):
            return None
        self.room.take(entry)
        picker.serve(entry, self.now)
        return dispatch

    def _parks(self, entry: QueueEntry) -> bool:
        """Park the entry if a gate of its own refuses it."""
        tokens, model = entry.estimate_tokens, entry.model
        if self.room.is_larger_than_limits(model, tokens):
            _park(entry, ParkedReason.UNSATISFIABLE, key=f"{self.provider}/{model}")
        elif TaskQueue.objects.yields_to_another(entry):
            return True
        elif reason := self.room.model_refusal(model, tokens):
            frees_at = None if reason == "concurrency" else self.room.frees_at(model)
            until = frees_at or self.now + MODEL_SLOT_WAIT
            _park(entry, ParkedReason.MODEL_LIMIT, key=f"{self.provider}/{model}", until=until)
        else:
            return False
        return True

    def _hand_over(self, entry: QueueEntry, dispatch: Dispatch) -> bool:
        """Hold the call's upper bound and queue the entry, or neither; park it when a budget has no room."""
        task = self.tasks.filter(pk=entry.task_id, epoch=entry.epoch, status=TaskStatus.PENDING)
        task_type = task.values_list("type", flat=True).first()
        if task_type is None:
            logger.error("Dropped the queue entry of task %s: it does not match its task.", entry.task_id)
            entry.delete()
            return False
        amount = bound_usd(entry, self.now)
        bounds = budgets.applicable(owner_id=entry.owner_key, provider=self.provider, task_type=task_type)
        periods = [budgets.current_period(budget, self.now) for budget in bounds]
        with transaction.atomic():
            if budgets.hold(periods, amount or ZERO):
                self._queue(entry, dispatch, amount, periods)
                task.update(epoch=dispatch.epoch)
                return True
            transaction.set_rollback(True)
        if tight := budgets.tight(periods, amount or ZERO):
            _park(entry, ParkedReason.BUDGET, key=str(tight.budget_id), until=tight.ends_at)
        return False

    def _queue(
        self, entry: QueueEntry, dispatch: Dispatch, amount: Decimal | None, periods: list[BudgetPeriod]
    ) -> None:
        fence = QueueEntry.objects.held_as(entry.task_id, entry.epoch, EntryState.WAITING)
        fence.update(
            state=EntryState.QUEUED, epoch=dispatch.epoch, dispatch_id=dispatch.dispatch_id, queued_at=self.now
        )
        attempt = Attempt.objects.create(
            task_id=entry.task_id,
            epoch=dispatch.epoch,
            dispatch_id=dispatch.dispatch_id,
            provider=self.provider,
            model=entry.model,
            reserved_tokens=entry.estimate_tokens,
            reserved_usd=amount,
            is_probe=self.room.is_probe,
            admitted_at=self.now,
        )
        budgets.record_holds(attempt, periods, amount or ZERO)


def bound_usd(entry: QueueEntry, at: datetime) -> Decimal | None:
    """Return the most that the entry's call can cost, by its estimated input and its output cap; None: unpriced."""
    usage = Usage(input_tokens=entry.estimate_input_tokens, output_tokens=entry.max_output_tokens)
    cost = gateway.cost_usd(Candidate(entry.provider, entry.model), usage, at)
    return None if cost is None else to_quantum(cost)


def _park(entry: QueueEntry, reason: ParkedReason, *, key: str, until: datetime | None = None) -> None:
    QueueEntry.objects.filter(pk=entry.pk, state=EntryState.WAITING).park(reason=reason, key=key, until=until)
