"""
The money of one admission: which budgets bound an entry, what is held in them, and where else it could be paid.

A budget of all is the one row that every admission and every settlement meets at, so it is locked as late as can be:
what is held is counted here while entries are chosen, and stored at the end, once for all of them.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from ai_tasks import doorbell
from ai_tasks.accounts import bounds, budgets
from ai_tasks.accounts.models import BudgetPeriod
from ai_tasks.locks import ProviderBusy
from ai_tasks.states import TaskStatus
from providers.types import Candidate
from queueing.models import QueueEntry, TaskQueue

ZERO = Decimal(0)


class Purse:
    """Takes holds inside one admission's transaction, and remembers what it has read in it."""

    def __init__(self, tasks: QuerySet[Any], now: datetime) -> None:
        self.tasks = tasks
        self.now = now
        self._periods: dict[tuple[str, str, str, str], list[BudgetPeriod]] = {}
        self._rows: dict[int, BudgetPeriod] = {}
        """Periods as they were last read, by id."""
        self._locked: set[int] = set()
        self._taken: defaultdict[int, Decimal] = defaultdict(Decimal)
        """What is held here and not yet stored, by period."""

    def periods(self, entry: QueueEntry, provider: str) -> list[BudgetPeriod]:
        """Return the current periods of the budgets that bound the entry there; read once per user, key and type."""
        key = (entry.owner_key, entry.payer_key, entry.task_type, provider)
        if key not in self._periods:
            applicable = budgets.applicable(
                owner_id=entry.owner_key, payer_key=entry.payer_key, provider=provider, task_type=entry.task_type
            )
            self._periods[key] = budgets.current_periods(applicable, self.now)
            for each in self._periods[key]:
                self._rows.setdefault(each.pk, each)
        return self._periods[key]

    def hold(self, periods: list[BudgetPeriod], amount: Decimal) -> BudgetPeriod | None:
        """
        Reserve the amount in all these periods or in none; return the one without room, None where all had it.

        That one is locked until the transaction ends: money that is given back meanwhile wakes what it has parked.
        """
        if self._tight(periods, amount):
            self._lock({each.pk for each in periods} - self._locked)
            if found := self._tight(periods, amount):
                return found
        for each in periods:
            self._taken[each.pk] += amount
        return None

    def give_back(self, periods: list[BudgetPeriod], amount: Decimal) -> None:
        """Undo a hold."""
        for each in periods:
            self._taken[each.pk] -= amount

    def store(self) -> None:
        """Hold in the database what was taken; raises ProviderBusy where somebody has spent it since it was read."""
        if not budgets.hold(self._taken):
            raise ProviderBusy("The money that was to be held has been spent meanwhile.")

    def _tight(self, periods: list[BudgetPeriod], amount: Decimal) -> BudgetPeriod | None:
        rows = (self._rows[each.pk] for each in periods)
        return next((row for row in rows if amount and not row.has_room(amount + self._taken[row.pk])), None)

    def _lock(self, period_ids: set[int]) -> None:
        self._rows |= budgets.locked(period_ids)
        self._locked |= period_ids

    def moves_on(self, entry: QueueEntry, why: str, takes: "Callable[[Candidate], bool]" = lambda _: True) -> bool:
        """
        Send an entry on to the next place of its route that takes it and where, by what is read now, it can pay.

        Moves the pair, waiting; the task's `skipped` says which place it left, and why. False: there is no such place,
        and nothing was changed.
        """
        task = self.tasks.filter(pk=entry.task_id, epoch=entry.epoch, status=TaskStatus.PENDING).first()
        if task is None:
            return False
        for position, (provider, model) in enumerate(task.route):
            candidate = Candidate(provider, model)
            if position > task.route_position and takes(candidate) and self._can_pay(entry, task, candidate):
                TaskQueue.objects.move(entry, provider=provider, model=model, now=self.now)
                values = {"provider": provider, "model": model, "route_position": position, "updated_at": self.now}
                self.tasks.filter(pk=entry.task_id).update(**values, route_policy=_with_left(task, why))
                transaction.on_commit(partial(doorbell.ring, provider), robust=True)
                return True
        return False

    def _can_pay(self, entry: QueueEntry, task: Any, candidate: Candidate) -> bool:
        tokens = (entry.estimate_input_tokens, entry.max_output_tokens)
        amount = bounds.bound_usd(candidate, *tokens, self.now)
        periods = self.periods(entry, candidate.provider)
        if bounds.is_refused(candidate.provider, amount, has_budgets=bool(periods)):
            return False
        if task.max_cost_usd is not None and (amount is None or amount > task.max_cost_usd - (task.cost_usd or ZERO)):
            return False
        return self._tight(periods, amount or ZERO) is None


def _with_left(task: Any, reason: str) -> dict[str, Any]:
    """Return the task's route policy with its present place among the skipped: it leaves without an attempt there."""
    left = {"provider": task.provider, "model": task.model, "reason": reason, "after_attempt": task.epoch}
    policy: dict[str, Any] = task.route_policy
    return policy | {"skipped": [*policy.get("skipped", []), left]}
