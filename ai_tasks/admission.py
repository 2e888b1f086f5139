"""Station 2, ADMIT: choose the best waiting entries that a provider has room for, in one short transaction."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import QuerySet

from ai_tasks import breaker, capacity, clock, crash_points
from ai_tasks.accounts import bounds, budgets
from ai_tasks.accounts.models import Attempt, BudgetPeriod, Hold
from ai_tasks.breaker import Probes
from ai_tasks.capacity import Room
from ai_tasks.locks import ProviderBusy, take_provider_lock
from ai_tasks.purse import Purse
from ai_tasks.states import TaskStatus
from providers.types import Candidate
from queueing.entries import share_key
from queueing.models import PriorityClass, QueueEntry, TaskQueue
from queueing.statements import UpdateEach
from queueing.states import EntryState, ParkedReason

logger = logging.getLogger(__name__)

BATCH = capacity.MAX_QUEUED
"""Entries read per class and plan."""
LOOK_AGAIN = timedelta(seconds=1)
"""How soon to look again while something waits and no window says when."""
MODEL_SLOT_WAIT = timedelta(seconds=5)

PATIENT_TRIES = 5
"""How often a claim waits for the provider's lock, a second each."""
MOST_DUE = 1_000
"""Parked entries that one plan wakes because their time has come."""

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
    is_alone: bool = False
    """In quarantine: in a process of its own."""


@dataclass(slots=True)
class Plan:
    """What one admission did."""

    dispatches: list[Dispatch] = field(default_factory=list)
    next_wake_at: datetime | None = None
    """When time alone may free something; None: only an event can."""
    has_more: bool = False
    """Is anything left that is runnable but for the provider's own gates?"""

    def wake_at(self, time: datetime | None) -> None:
        """Look again then, or earlier."""
        self.next_wake_at = min(filter(None, (self.next_wake_at, time)), default=None)


@transaction.atomic
def plan(
    tasks: QuerySet[Any],
    provider: str,
    *,
    workers: Workers,
    limit: int = BATCH,
    next_due: datetime | None = None,
    now: datetime | None = None,
) -> Plan:
    """
    Admit what the provider has room for, best first, and return what to send and when to look again.

    Atomic under the provider's lock. Each admitted entry is `queued` with its epoch one higher, has an attempt row and
    its money held; each entry refused by a gate of its own is parked with the reason and the key that wakes it.
    `next_due`: when the first parked entry is due, as the caller just saw; who parks another since rings.
    """
    take_provider_lock(provider)
    now = now or clock.now()
    if next_due and next_due <= now:
        QueueEntry.objects.due(now).of(provider).order_by("parked_until").wake_some(MOST_DUE)
        next_due = TaskQueue.objects.outlook(provider).next_due
    queues = TaskQueue.objects.clocks(provider)
    room = capacity.measure(provider, workers, queues, now)
    result, purse = Plan(next_wake_at=next_due), Purse(tasks, now)
    for queue, clocks in queues.items():
        if any(clock.head_id for clock in clocks):
            result.has_more |= _Admission(purse, room, queue, result, now).fill(clocks, limit)
    purse.store()
    result.wake_at(room.opens_at())
    if result.has_more:
        result.wake_at(room.frees_at() or now + LOOK_AGAIN)
    if result.next_wake_at:
        result.next_wake_at = max(result.next_wake_at, now)
    if result.dispatches:
        crash_points.reached("planning")
    return result


def plan_patiently(tasks: QuerySet[Any], provider: str, *, workers: Workers, now: datetime | None) -> Plan:
    """Admit one entry for a caller that waits for it: while others admit, for some seconds, then nothing."""
    for _ in range(PATIENT_TRIES):
        try:
            due = TaskQueue.objects.outlook(provider).next_due
            return plan(tasks, provider, workers=workers, limit=1, next_due=due, now=now)
        except ProviderBusy as error:
            logger.info("A claim waits for admission to %s: %s", provider, error)
    return Plan()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """An entry that passed every gate, and the money that is held for it."""

    entry: QueueEntry
    dispatch: Dispatch
    amount_usd: Decimal | None
    periods: list[BudgetPeriod]
    is_model_probe: bool


class _Admission:
    """One provider's lane in one plan."""

    def __init__(self, purse: Purse, room: Room, queue: TaskQueue, result: Plan, now: datetime) -> None:
        self.purse = purse
        self.tasks = purse.tasks
        self.room = room
        self.queue = queue
        self.result = result
        self.provider = queue.provider
        self.now = now
        self.probes = Probes(self.provider, room.gates, now)
        self._chosen: list[_Chosen] = []
        self._handed: Counter[str] | None = None
        """Entries at the provider by user; counted where the queue bounds them."""
        self._locked: dict[str, bool] = {}

    def fill(self, clocks: list[PriorityClass], limit: int) -> bool:
        """Admit entries until the lane is empty or a gate of the whole provider refuses; True: more may wait."""
        if self.room.refusal(self.queue.lane, 0, 0):
            return True
        picker = TaskQueue.objects.picker(self.queue, clocks, batch=min(limit, self._batch()))
        has_more = False
        for entry in picker:
            if len(self.result.dispatches) + len(self._chosen) >= limit or self._stops_at(entry):
                has_more = True
                break
            if each := self._choose(entry):
                self.room.take(entry)
                picker.serve(entry, self.now)
                self._chosen.append(each)
        picker.store()
        self.result.dispatches += self._hand_over(self._chosen)
        return has_more or picker.was_cut

    def _batch(self) -> int:
        """Return how many entries to read at first: as many as there is room for, in steps, so that few compile."""
        return min(BATCH, 1 << max(2, (capacity.MAX_QUEUED - self.room.queued - 1).bit_length()))

    def _stops_at(self, entry: QueueEntry) -> bool:
        """Is the provider full for the best entry? Smaller ones behind it must not starve it."""
        if self.room.is_larger_than_limits(entry.model, entry.estimate_tokens):
            return False
        return bool(self.room.refusal(entry.lane, entry.priority, entry.estimate_tokens))

    def _choose(self, entry: QueueEntry) -> _Chosen | None:
        """Return the entry with its money held, or None when a gate of its own refused it."""
        if self._parks(entry):
            return None
        amount, periods = bound_usd(entry, self.now), self.purse.periods(entry, self.provider)
        if bounds.is_refused(self.provider, amount, has_budgets=bool(periods)):
            if not self.purse.moves_on(entry, ParkedReason.UNPRICED):
                self._park(entry, ParkedReason.UNPRICED, key=f"{self.provider}/{entry.model}")
            return None
        if not self.probes.take(entry.model):
            return None
        if tight := self.purse.hold(periods, amount or ZERO):
            self.probes.give_back(entry.model)
            if not self.purse.moves_on(entry, ParkedReason.BUDGET):
                self._park(entry, ParkedReason.BUDGET, key=str(tight.budget_id), until=tight.ends_at)
            return None
        dispatch = Dispatch(
            entry.task_id, entry.epoch + 1, uuid4(), entry.provider, entry.lane, is_alone=entry.is_quarantined
        )
        return _Chosen(entry, dispatch, amount, periods, is_model_probe=self.probes.is_for(entry.model))

    def _parks(self, entry: QueueEntry) -> bool:
        """Park the entry, or send it on, if a gate of its own refuses it."""
        tokens, model = entry.estimate_tokens, entry.model
        if self.room.is_larger_than_limits(model, tokens):
            self._park(entry, ParkedReason.UNSATISFIABLE, key=f"{self.provider}/{model}")
        elif until := self.probes.shut_until(model):
            if not self.purse.moves_on(entry, ParkedReason.CIRCUIT_OPEN):
                self._park(entry, ParkedReason.CIRCUIT_OPEN, key=breaker.key(self.provider, model), until=until)
        elif TaskQueue.objects.yields_to_another(entry) or self._yields_to_own(entry):
            return True
        elif reason := self.room.model_refusal(model, tokens):
            frees_at = None if reason == "concurrency" else self.room.frees_at(model)
            until = frees_at or self.now + MODEL_SLOT_WAIT
            self._park(entry, ParkedReason.MODEL_LIMIT, key=f"{self.provider}/{model}", until=until)
        else:
            return False
        return True

    def _yields_to_own(self, entry: QueueEntry) -> bool:
        """Has its user as many at the provider as one may? Then it is parked until one of them goes."""
        bound, owner = self.queue.user_slots, entry.owner_key
        if bound is None:
            return False
        if self._handed is None:
            self._handed = TaskQueue.objects.handed_by_owner(self.provider)
        chosen = sum(each.entry.owner_key == owner for each in self._chosen)
        if self._handed[owner] + chosen < bound:
            return False
        if owner not in self._locked:
            self._locked[owner] = TaskQueue.objects.lock_share(self.provider, owner, self._handed[owner])
        if self._locked[owner]:
            self._park(entry, ParkedReason.USER_SHARE, key=share_key(entry))
        return True

    def _park(self, entry: QueueEntry, reason: ParkedReason, *, key: str, until: datetime | None = None) -> None:
        QueueEntry.objects.filter(pk=entry.pk, state=EntryState.WAITING).park(reason=reason, key=key, until=until)
        self.result.wake_at(until)

    def _hand_over(self, chosen: list[_Chosen]) -> list[Dispatch]:
        """Queue the chosen entries under their dispatch ids, each with its attempt."""
        if not chosen:
            return []
        ours = self._matching(chosen)
        QueueEntry.objects.hand_over([(each.entry, each.dispatch.dispatch_id) for each in ours], now=self.now)
        attempts = Attempt.objects.bulk_create([self._attempt(each) for each in ours])
        holds: list[Hold] = []
        for attempt, each in zip(attempts, ours, strict=True):
            holds += budgets.holds_of(attempt, each.periods, each.amount_usd or ZERO)
        Hold.objects.bulk_create(holds)
        return [each.dispatch for each in ours]

    def _matching(self, chosen: list[_Chosen]) -> list[_Chosen]:
        """Advance the tasks' epochs; an entry without its pending task is a defect: it is dropped, not run."""
        steps = [{"id": each.entry.task_id, "before": each.entry.epoch, "next": each.dispatch.epoch} for each in chosen]
        if _advance(self.tasks.model).run(steps) == len(chosen):  # type: ignore[arg-type]
            return chosen
        ours = []
        for each in chosen:
            advanced = self.tasks.filter(pk=each.entry.task_id, epoch=each.dispatch.epoch, status=TaskStatus.PENDING)
            if advanced.exists():
                ours.append(each)
            else:
                logger.error("Dropped the queue entry of task %s: it does not match its task.", each.entry.task_id)
                self.purse.give_back(each.periods, each.amount_usd or ZERO)
                each.entry.delete()
        return ours

    def _attempt(self, chosen: _Chosen) -> Attempt:
        entry, dispatch = chosen.entry, chosen.dispatch
        return Attempt(
            task_id=entry.task_id,
            epoch=dispatch.epoch,
            dispatch_id=dispatch.dispatch_id,
            provider=self.provider,
            model=entry.model,
            reserved_tokens=entry.estimate_tokens,
            reserved_usd=chosen.amount_usd,
            is_probe=self.room.is_probe,
            is_model_probe=chosen.is_model_probe,
            admitted_at=self.now,
        )


@cache
def _advance(model: Any) -> UpdateEach[Any]:
    """Give pending tasks their next epoch."""
    now = {"id": "id", "epoch": "before"}
    return UpdateEach(model, where=now, sets={"epoch": "next"}, only={"status": TaskStatus.PENDING})


def bound_usd(entry: QueueEntry, at: datetime) -> Decimal | None:
    """Return the most that the entry's call can cost, by its estimated input and its output cap; None: unpriced."""
    candidate = Candidate(entry.provider, entry.model)
    return bounds.bound_usd(candidate, entry.estimate_input_tokens, entry.max_output_tokens, at)
