"""Tells when a budget is nearly and when it is wholly used: a stored row, once per period and share, then an event."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import CharField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast

from ai_tasks import events
from ai_tasks.accounts.fields import UsdField, plain_usd
from ai_tasks.accounts.models import Budget, BudgetAlarm, BudgetPeriod
from ai_tasks.webhooks import events as webhooks
from queueing.models import QueueEntry
from queueing.states import ParkedReason

SHARES = (80, 100)
"""Percents of the limit."""
LATE = timedelta(days=1)
"""So long after its end a period is still looked at: calls that it holds money for may settle later."""
BATCH = 500


def raise_due(now: datetime) -> int:
    """
    Store an alarm for every period that has spent a share of its limit without one, and publish it; return how many.

    100 % also means: over 80 % are spent, and something waits for the rest. Idempotent, by any number of processes.
    """
    return sum(_raise(period, share, now) for share in SHARES for period in _due(share, now)[:BATCH])


def _due(share: int, now: datetime) -> QuerySet[BudgetPeriod]:
    raised = BudgetAlarm.objects.filter(period=OuterRef("pk"), percent=share)
    live = BudgetPeriod.objects.filter(
        ~Exists(raised), ends_at__gt=now - LATE, spent_usd__gt=0, budget__is_enabled=True
    )
    if share < max(SHARES):
        return live.filter(_has_spent(share)).order_by("pk")
    key = Cast(OuterRef("budget_id"), CharField())
    waiting = QueueEntry.objects.parked().filter(parked_reason=ParkedReason.BUDGET, parked_key=key)
    return live.filter(_has_spent(share) | (_has_spent(min(SHARES)) & Exists(waiting))).order_by("pk")


def _has_spent(share: int) -> Q:
    # Divided first: a limit times a hundred may not fit into the column's type.
    part = ExpressionWrapper(F("limit_usd") / Value(100) * Value(share), output_field=UsdField())
    return Q(spent_usd__gte=part)


@transaction.atomic
def _raise(period: BudgetPeriod, share: int, now: datetime) -> bool:
    values = {"spent_usd": period.spent_usd, "limit_usd": period.limit_usd, "created_at": now}
    alarm, is_new = BudgetAlarm.objects.get_or_create(period=period, percent=share, defaults=values)
    if is_new:
        event = _event(alarm, period.budget)
        webhooks.happened("budget.alarm", f"budget_alarm:{alarm.pk}", event, now)
        transaction.on_commit(partial(_publish, event, period.budget), robust=True)
    return is_new


def _event(alarm: BudgetAlarm, budget: Budget) -> dict[str, Any]:
    return {
        "budget_id": budget.pk,
        "scope": budget.scope,
        "key": budget.scope_key,
        "period": alarm.period.period,
        "percent": alarm.percent,
        "spent_usd": plain_usd(alarm.spent_usd),
        "limit_usd": plain_usd(alarm.limit_usd),
    }


def _publish(event: dict[str, Any], budget: Budget) -> None:
    """Tell the operators, and the user whose budget it is."""
    event = {"name": "budget.alarm", **event}
    events.send(events.OPERATIONS, event)
    if budget.scope == Budget.Scope.USER and budget.scope_key.isdigit():
        events.send(events.group_for_user(int(budget.scope_key)), event)
