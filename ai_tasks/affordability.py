"""What a task may cost, as far as it is known when it is submitted: read, not held; admission holds."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from ai_tasks.accounts import bounds, budgets, charges
from ai_tasks.accounts.fields import plain_usd
from ai_tasks.accounts.models import AttemptState, Budget, BudgetPeriod
from ai_tasks.errors import BudgetExceeded, InvalidInput, Mistake, TaskError, UnpricedModel
from providers.types import Candidate
from queueing.entries import Estimate
from queueing.models import QueueEntry

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One period of a budget, as a refused caller is told of it; amounts are decimal strings."""

    scope: str
    key: str
    interval: str
    period: str
    time_zone: str
    limit_usd: str
    spent_usd: str
    held_usd: str
    used_usd: str
    resets_at: str
    """ISO 8601 in UTC."""

    @classmethod
    def of(cls, period: BudgetPeriod) -> "BudgetState":
        """Return the period's state."""
        budget = period.budget
        return cls(
            scope=budget.scope,
            key=budget.scope_key,
            interval=budget.interval,
            period=period.period,
            time_zone=budget.time_zone,
            limit_usd=plain_usd(period.limit_usd),
            spent_usd=plain_usd(period.spent_usd),
            held_usd=plain_usd(period.held_usd),
            used_usd=plain_usd(period.used_usd),
            resets_at=f"{period.ends_at:%Y-%m-%dT%H:%M:%SZ}",
        )


def states(budget_ids: Collection[str], now: datetime) -> dict[str, BudgetState]:
    """Return what these budgets have left, by their ids; those that are gone are left out."""
    found = Budget.objects.filter(pk__in=budget_ids) if budget_ids else ()
    return {str(period.budget_id): BudgetState.of(period) for period in budgets.read_periods(list(found), now)}


def within_max_cost(task: Any, estimate: Estimate, now: datetime) -> Estimate:
    """
    Return the estimate with its output cap lowered to what `max_cost_usd` pays for at the task's candidate.

    Raises InvalidInput where it does not pay for the input and one token, or the model has no price to bound it by.
    """
    if task.max_cost_usd is None:
        return estimate
    candidate = Candidate(task.provider, task.model)
    left = task.max_cost_usd - ((charges.total_usd(task.pk) if task.epoch else None) or ZERO)
    fits = bounds.affordable_output(candidate, *estimate, left, now)
    if fits is not None:
        return Estimate(estimate.input_tokens, fits)
    cost = bounds.bound_usd(candidate, estimate.input_tokens, 1, now)
    if cost is None:
        detail = f"{candidate} has no known price, so a task cannot be bounded by max_cost_usd."
        raise InvalidInput(detail, errors=(Mistake("/max_cost_usd", "the model has no known price"),))
    raise InvalidInput(
        f"The input and one token of output may cost {plain_usd(cost)} USD.",
        errors=(Mistake("/max_cost_usd", "too little for this input and one token of output"),),
    )


def next_place(entry: QueueEntry, task: Any, positions: range, now: datetime) -> tuple[int, int] | None:
    """
    Return the first of these places on the route where what `max_cost_usd` leaves pays for another attempt, and the
    output cap there; None: there is none.

    What an uncharged attempt holds counts as spent: it may still be charged.
    """
    spent = charges.total_usd(task.pk) or ZERO
    unknown = task.attempts.filter(state=AttemptState.LOST, ledger=None).aggregate(sum=Sum("reserved_usd"))["sum"]
    left = task.max_cost_usd - spent - (unknown or ZERO)
    for position in positions:
        candidate = Candidate(*task.route[position])
        tokens = (entry.estimate_input_tokens, entry.max_output_tokens)
        fits = bounds.affordable_output(candidate, *tokens, left, now)
        if fits is not None:
            return position, fits
    return None


class Means:
    """What the budgets have left, read once for all tasks of one kind."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._periods: dict[tuple[object, ...], list[BudgetPeriod]] = {}

    def check(self, task: Any, estimate: Estimate) -> None:
        """Raise what stands against the route's first candidate, if something stands against every one of them."""
        first: TaskError | None = None
        for provider, model in task.route:
            refusal = self._refusal(task, Candidate(provider, model), estimate)
            if refusal is None:
                return
            first = first or refusal
        if first is not None:
            raise first

    def _refusal(self, task: Any, candidate: Candidate, estimate: Estimate) -> TaskError | None:
        periods = self._bounding(task, candidate.provider)
        amount = bounds.bound_usd(candidate, *estimate, self._now)
        if bounds.is_refused(candidate.provider, amount, has_budgets=bool(periods)):
            return _unpriced(candidate, has_budgets=bool(periods))
        tight = next((each for each in periods if not each.has_room(amount or ZERO)), None)
        return None if tight is None else _exceeded(tight, amount or ZERO)

    def _bounding(self, task: Any, provider: str) -> list[BudgetPeriod]:
        """Return the current periods of the budgets that bound the task there; new ones are not stored."""
        kind = {"owner_id": task.owner_id, "payer_key": str(task.api_key_id or ""), "task_type": task.type}
        key = (provider, *kind.values())
        if key not in self._periods:
            self._periods[key] = budgets.read_periods(budgets.applicable(provider=provider, **kind), self._now)
        return self._periods[key]


def _unpriced(candidate: Candidate, *, has_budgets: bool) -> UnpricedModel:
    why = "a budget bounds this call" if has_budgets else "its provider takes no calls without one"
    detail = (
        f"{candidate} has no known price, and {why}. An operator can enter its price, import published ones "
        "(manage.py sync_prices), or change what the provider does about unknown prices."
    )
    return UnpricedModel(detail, errors=(Mistake("/model", "no known price"),))


def _exceeded(period: BudgetPeriod, amount: Decimal) -> BudgetExceeded:
    state = BudgetState.of(period)
    detail = (
        f"The budget {period.budget} of {state.limit_usd} USD for {state.period} has no room for this task, which may "
        f"cost {plain_usd(amount)} USD: {state.spent_usd} USD are spent and {state.held_usd} USD held. "
        f"It begins anew at {state.resets_at}."
    )
    return BudgetExceeded(detail, members={"budget": asdict(state), "required_usd": plain_usd(amount)})
