"""Monthly limits on money: read at submission, held at admission, settled with the charge."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Q

from ai_tasks.accounts.fields import usd
from ai_tasks.accounts.models import Attempt, Budget, BudgetPeriod, Hold
from queueing.models import QueueEntry
from queueing.statements import Param, Select
from queueing.states import ParkedReason

ZERO = Decimal(0)


_applicable = Select(
    lambda: Budget.objects.filter(
        Q(scope=Budget.Scope.GLOBAL)
        | Q(scope=Budget.Scope.PROVIDER, scope_key=Param("provider"))
        | Q(scope=Budget.Scope.USER, scope_key=Param("owner"))
        | Q(scope=Budget.Scope.TASK_TYPE, scope_key=Param("task_type")),
        is_enabled=True,
    ).order_by("id")
)


def applicable(*, owner_id: int | str, provider: str, task_type: str) -> list[Budget]:
    """Return the enabled budgets that bound such a call, in the order of their ids (the lock order)."""
    return _applicable.rows(owner=str(owner_id), provider=provider, task_type=task_type)


def current_period(budget: Budget, now: datetime) -> BudgetPeriod:
    """Return the month of the budget that `now` falls in, by its time zone; make it when it is new."""
    zone = ZoneInfo(budget.time_zone)
    local = now.astimezone(zone)
    next_year, next_month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
    ends_at = datetime(next_year, next_month, 1, tzinfo=zone).astimezone(UTC)
    period, _ = BudgetPeriod.objects.get_or_create(
        budget=budget, period=f"{local:%Y-%m}", defaults={"limit_usd": budget.limit_usd, "ends_at": ends_at}
    )
    return period


@transaction.atomic
def store(budget: Budget, now: datetime) -> None:
    """Save a budget, put its limit in force for the months that are not over, and wake what waited for it."""
    budget.save()
    budget.periods.filter(ends_at__gt=now).update(limit_usd=budget.limit_usd)
    QueueEntry.objects.wake_key(ParkedReason.BUDGET, str(budget.pk))


def exhausted(budgets: Iterable[Budget], amount: Decimal, now: datetime) -> BudgetPeriod | None:
    """Return the first period without room for the amount, or None. A read: `hold` is what counts."""
    periods = (current_period(budget, now) for budget in budgets)
    return next((each for each in periods if each.spent_usd + each.held_usd + amount > each.limit_usd), None)


def tight(periods: list[BudgetPeriod], amount: Decimal) -> BudgetPeriod | None:
    """
    Return the first of these periods without room for the amount, or None.

    All are locked until the caller's transaction ends: money that is given back meanwhile wakes what it has parked.
    """
    locked = BudgetPeriod.objects.filter(pk__in=[period.pk for period in periods]).select_for_update().order_by("pk")
    return next((each for each in locked if each.spent_usd + each.held_usd + amount > each.limit_usd), None)


def hold(periods: list[BudgetPeriod], amount: Decimal) -> bool:
    """Reserve the amount in all these periods or in none: one conditional UPDATE, to be undone by its transaction."""
    if not periods or amount == ZERO:
        return True
    wanted = BudgetPeriod.objects.filter(pk__in=[period.pk for period in periods])
    fitting = wanted.filter(limit_usd__gte=F("spent_usd") + F("held_usd") + usd(amount))
    held: int = fitting.update(held_usd=F("held_usd") + usd(amount))
    return held == len(periods)


def release(periods: list[BudgetPeriod], amount: Decimal) -> None:
    """Give back what `hold` took, before any attempt had it."""
    if periods and amount:
        held = BudgetPeriod.objects.filter(pk__in=[period.pk for period in periods])
        held.update(held_usd=F("held_usd") - usd(amount))


def record_holds(attempt: Attempt, periods: list[BudgetPeriod], amount: Decimal) -> None:
    """Write which periods hold how much for the attempt."""
    if amount > ZERO:
        Hold.objects.bulk_create([Hold(attempt=attempt, period=period, amount_usd=amount) for period in periods])


def settle(attempt: Attempt, cost: Decimal, now: datetime) -> None:
    """Turn the attempt's holds into spending of `cost` in the periods that held them; once."""
    holds = list(Hold.objects.filter(attempt=attempt, settled_at=None).select_for_update().order_by("period_id"))
    for each in holds:
        BudgetPeriod.objects.filter(pk=each.period_id).update(
            held_usd=F("held_usd") - usd(each.amount_usd), spent_usd=F("spent_usd") + usd(cost)
        )
    Hold.objects.filter(pk__in=[each.pk for each in holds]).update(settled_at=now)
