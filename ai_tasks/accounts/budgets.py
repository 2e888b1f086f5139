"""Limits on money by month and day: read at submission, held at admission, settled with the charge."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from ai_tasks import doorbell
from ai_tasks.access.models import ApiKey
from ai_tasks.accounts import periods
from ai_tasks.accounts.fields import usd
from ai_tasks.accounts.models import Attempt, Budget, BudgetPeriod, Hold
from providers import routing
from queueing.models import QueueEntry
from queueing.statements import Param, Select, SelectIn, among
from queueing.states import ParkedReason

ZERO = Decimal(0)


_applicable = Select(
    lambda: Budget.objects.filter(
        Q(scope=Budget.Scope.GLOBAL)
        | Q(scope=Budget.Scope.PROVIDER, scope_key=Param("provider"))
        | Q(scope=Budget.Scope.USER, scope_key=Param("owner"))
        | Q(scope=Budget.Scope.API_KEY, scope_key=Param("payer"))
        | Q(scope=Budget.Scope.TASK_TYPE, scope_key=Param("task_type")),
        is_enabled=True,
    ).order_by("id")
)


def applicable(*, owner_id: int | str, provider: str, task_type: str, payer_key: str = "") -> list[Budget]:
    """Return the enabled budgets that bound such a call, in the order of their ids (the lock order)."""
    return _applicable.rows(owner=str(owner_id), payer=payer_key, provider=provider, task_type=task_type)


def read_periods(budgets: Sequence[Budget], now: datetime) -> list[BudgetPeriod]:
    """Return the month or day of each budget that `now` falls in, in their order; those that are new are not stored."""
    if not budgets:
        return []
    rows = BudgetPeriod.objects.filter(budget__in=budgets, starts_at__lte=now, ends_at__gt=now)
    known = {row.budget_id: row for row in rows}
    found = [known.get(budget.pk) or _new_period(budget, now) for budget in budgets]
    for period, budget in zip(found, budgets, strict=True):
        period.budget = budget
    return found


def current_periods(budgets: Sequence[Budget], now: datetime) -> list[BudgetPeriod]:
    """Return the same, and store those that are new."""
    return [period if period.pk else _begun(period) for period in read_periods(budgets, now)]


def _new_period(budget: Budget, now: datetime) -> BudgetPeriod:
    key, starts_at, ends_at = periods.span(budget.interval, budget.time_zone, now)
    return BudgetPeriod(period=key, limit_usd=budget.limit_usd, starts_at=starts_at, ends_at=ends_at)


def _begun(period: BudgetPeriod) -> BudgetPeriod:
    """
    Return the stored period: somebody else may have begun it meanwhile.

    It is known by its end, not by its name: after a change of time zone a month may have a rest of the same name.
    """
    columns = {name: getattr(period, name) for name in ("period", "limit_usd", "starts_at")}
    return BudgetPeriod.objects.get_or_create(budget=period.budget, ends_at=period.ends_at, defaults=columns)[0]


@transaction.atomic
def store(budget: Budget, now: datetime) -> None:
    """Save a budget, put its limit in force for the periods that are not over, and wake what waited for it."""
    budget.save()
    budget.periods.filter(ends_at__gt=now).update(limit_usd=budget.limit_usd)
    wake([budget.pk])


def of_user(user_id: int) -> QuerySet[Budget]:
    """Return the budgets of a user, and of the user's API keys."""
    key_ids = [str(each) for each in ApiKey.objects.filter(owner=user_id).values_list("pk", flat=True)]
    own = Q(scope=Budget.Scope.USER, scope_key=str(user_id))
    return Budget.objects.filter(own | Q(scope=Budget.Scope.API_KEY, scope_key__in=key_ids))


def of_key(key_id: int) -> Budget | None:
    """Return the budget that bounds an API key; None: there is none."""
    return Budget.objects.filter(scope=Budget.Scope.API_KEY, scope_key=str(key_id), is_enabled=True).first()


@transaction.atomic
def bound_key(key_id: int, wanted: Mapping[str, Any] | None, now: datetime) -> None:
    """Let an API key spend `limit_usd` an `interval` of a `time_zone`; None: as much as it likes."""
    mine = {each.interval: each for each in Budget.objects.filter(scope=Budget.Scope.API_KEY, scope_key=str(key_id))}
    if wanted is not None:
        fresh = Budget(scope=Budget.Scope.API_KEY, scope_key=str(key_id), interval=wanted["interval"])
        budget = mine.pop(wanted["interval"], fresh)
        budget.limit_usd, budget.time_zone, budget.is_enabled = wanted["limit_usd"], wanted["time_zone"], True
        store(budget, now)
    for budget in mine.values():
        budget.is_enabled = False
        store(budget, now)


def wake(budget_ids: Iterable[int]) -> None:
    """Let what is parked for these budgets try again, and have it looked at once this transaction is committed."""
    woken = sum(QueueEntry.objects.wake_key(ParkedReason.BUDGET, str(each)) for each in budget_ids)
    for provider in routing.slugs() if woken else ():
        transaction.on_commit(partial(doorbell.ring, provider), robust=True)


def exhausted(budgets: Sequence[Budget], amount: Decimal, now: datetime) -> BudgetPeriod | None:
    """Return the first period without room for the amount, or None. A read: `hold` is what counts."""
    return next((each for each in read_periods(budgets, now) if not each.has_room(amount)), None)


def locked(period_ids: Iterable[int]) -> dict[int, BudgetPeriod]:
    """Return these periods as they are now, by id, locked until the caller's transaction ends."""
    rows = BudgetPeriod.objects.filter(pk__in=period_ids).select_for_update().order_by("pk")
    return {each.pk: each for each in rows}


def hold(amounts: Mapping[int, Decimal]) -> bool:
    """
    Reserve these amounts, by the periods' ids, with a conditional UPDATE each, in the order of locks.

    False where one has no room: its transaction is then to be undone.
    """
    for period_id, amount in sorted(amounts.items()):
        fitting = BudgetPeriod.objects.filter(pk=period_id, limit_usd__gte=F("spent_usd") + F("held_usd") + usd(amount))
        if amount and not fitting.update(held_usd=F("held_usd") + usd(amount)):
            return False
    return True


def holds_of(attempt: Attempt, periods: list[BudgetPeriod], amount: Decimal) -> list[Hold]:
    """
    Return, to be stored, which periods hold how much for the attempt.

    Also nothing, where it is free or unpriced: if it turns out to cost something, these are the periods that pay.
    """
    return [Hold(attempt=attempt, period=period, amount_usd=amount) for period in periods]


_open_holds = SelectIn(
    lambda attempts: (
        Hold.objects.filter(among("attempt_id", attempts), settled_at=None)
        .annotate(budget_id=F("period__budget_id"))
        .select_for_update(of=("self",))
        .order_by("period_id")
    )
)


def settle_all(paid: Sequence[tuple[Attempt, Decimal]], now: datetime) -> list[int]:
    """
    Turn each attempt's holds into spending of its cost in the periods that held them, whatever month it is; once.

    Returns the ids of the periods' budgets.
    """
    costs = {attempt.pk: cost for attempt, cost in paid}
    holds = _open_holds.rows(list(costs))
    if holds:
        Hold.objects.filter(pk__in=[each.pk for each in holds]).update(settled_at=now)
    for period_id, group in groupby(holds, lambda each: each.period_id):
        each_period = list(group)
        held = sum((each.amount_usd for each in each_period), ZERO)
        spent = sum((costs[each.attempt_id] for each in each_period), ZERO)
        BudgetPeriod.objects.filter(pk=period_id).update(
            held_usd=F("held_usd") - usd(held), spent_usd=F("spent_usd") + usd(spent)
        )
    return sorted({each.budget_id for each in holds})  # type: ignore[attr-defined]


def correct(attempt: Attempt, difference: Decimal) -> None:
    """Add the difference, which may be negative, to what the periods that paid for the attempt have spent."""
    if not difference:
        return
    paid = list(BudgetPeriod.objects.filter(holds__attempt=attempt).order_by("pk"))
    for each in paid:
        BudgetPeriod.objects.filter(pk=each.pk).update(spent_usd=F("spent_usd") + usd(difference))
    if difference < ZERO:
        wake([each.budget_id for each in paid])
