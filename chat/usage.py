"""What conversations used, from the ledger: tokens and money of every call, stopped and repeated ones included."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Coalesce

from ai_tasks.accounts.fields import UsdField
from ai_tasks.models import LedgerEntry
from ai_tasks.representation import usd

TASK_TYPE = "chat.reply"
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


def _entries() -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(task_type=TASK_TYPE).order_by()


def of_user(user: Any, period: Period | None = None) -> TokenUsage:
    """Return what all replies to the user used, in the period when given."""
    found = _entries().filter(owner=user)
    if period is not None:
        found = found.filter(created_at__gte=period.since, created_at__lt=period.until)
    return TokenUsage(**found.aggregate(**SUMS))


def of_sessions(session_ids: Iterable[UUID]) -> dict[str, TokenUsage]:
    """Return what the replies of each session used, by the session's id as text; one query."""
    related = {"task__related_type": RELATED_TYPE, "task__related_id__in": [str(each) for each in session_ids]}
    rows = _entries().filter(**related).values(session=F("task__related_id")).annotate(**SUMS)
    return {row.pop("session"): TokenUsage(**row) for row in rows}
