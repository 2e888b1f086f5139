"""What conversations used, from the ledger: tokens and money of every call, stopped and repeated ones included."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Coalesce

from ai_tasks.accounts import budgets, periods
from ai_tasks.accounts.fields import UsdField
from ai_tasks.accounts.models import Budget, BudgetPeriod
from ai_tasks.models import LedgerEntry
from ai_tasks.representation import moment, usd

TASK_TYPE, TITLE_TYPE = "chat.reply", "chat.title"
RELATED_TYPE = "chat_session"


class Period(NamedTuple):
    """From `since` up to, and without, `until`."""

    since: datetime
    until: datetime


class TokenUsage(NamedTuple):
    """Tokens, inclusive: cached within input, reasoning within output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced_calls: int = 0
    """Calls to models without a price: the cost is at least `cost_usd`."""

    @property
    def total_tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens

    @property
    def cost_text(self) -> str | None:
        """The cost as a decimal string; None when any of it is unpriced."""
        return None if self.unpriced_calls else usd(self.cost_usd)


def _sum_of(*buckets: str) -> Any:
    first, *others = (Coalesce(F(bucket), 0) for bucket in buckets)
    return Coalesce(Sum(sum(others, start=first)), 0)


SUMS = {
    "input_tokens": _sum_of("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    "output_tokens": _sum_of("output_tokens", "reasoning_tokens"),
    "cost_usd": Coalesce(Sum("amount_usd"), Decimal(0), output_field=UsdField()),
    "unpriced_calls": Coalesce(Sum("unpriced"), 0),
}


def _entries(*task_types: str) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(task_type__in=task_types).order_by()


def of_user(user: Any, period: Period | None = None) -> TokenUsage:
    """Return what all replies to the user used, in the period when given."""
    found = _entries(TASK_TYPE).filter(owner=user)
    if period is not None:
        found = found.filter(created_at__gte=period.since, created_at__lt=period.until)
    return TokenUsage(**found.aggregate(**SUMS))


def of_sessions(session_ids: Iterable[UUID]) -> dict[str, TokenUsage]:
    """Return what the replies of each session used, by the session's id as text; one query."""
    related = {"task__related_type": RELATED_TYPE, "task__related_id__in": [str(each) for each in session_ids]}
    rows = _entries(TASK_TYPE).filter(**related).values(session=F("task__related_id")).annotate(**SUMS)
    return {row.pop("session"): TokenUsage(**row) for row in rows}


def month_json(user: Any, now: datetime) -> dict[str, Any]:
    """
    Return what the user's chats used in this month (UTC), and how far the tightest budget that bounds them is used.

    What naming them used is counted here, beside the replies.
    """
    month = periods.span(periods.MONTH, "UTC", now)
    entries = _entries(TASK_TYPE, TITLE_TYPE).filter(owner=user, created_at__gte=month.starts_at)
    used = TokenUsage(**entries.aggregate(**SUMS))
    bounds = budgets.applicable(owner_id=user.pk, provider="", task_type=TASK_TYPE)
    tightest = max(budgets.read_periods(bounds, now), key=_share, default=None)
    return {
        "total_tokens": used.total_tokens,
        "cost_usd": used.cost_text,
        "limit": None if tightest is None else _limit(tightest),
    }


def _share(period: BudgetPeriod) -> float:
    """Return how much of the period's money is spent or held: 1 is all of it."""
    used = period.spent_usd + period.held_usd
    return float(used / period.limit_usd) if period.limit_usd else 1.0


def _limit(period: BudgetPeriod) -> dict[str, Any]:
    """Amounts are shown of the user's own budget only; what everybody together may spend is not everybody's to know."""
    is_own = period.budget.scope == Budget.Scope.USER
    return {
        "scope": period.budget.scope,
        "share": round(_share(period), 4),
        "limit_usd": usd(period.limit_usd) if is_own else None,
        "used_usd": usd(period.spent_usd + period.held_usd) if is_own else None,
        "resets_at": moment(period.ends_at),
    }
