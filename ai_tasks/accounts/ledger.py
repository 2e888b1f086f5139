"""Sums of the ledger: its rollups, and what is not rolled up yet."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, Q, QuerySet, Sum, Value

from ai_tasks.accounts import coverage
from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.accounts.rollup_models import RollupState, UsageStat

QUARTER = coverage.HOUR / 4


def parts(
    begins: datetime, ends: datetime | None = None, *, mark: datetime | None = None, longest: timedelta = coverage.DAY
) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """
    Return the rollups and the entries that together are the ledger from `begins` to before `ends`, each entry once.

    Both must be multiples of a quarter of an hour. Where they are read by more than one statement, `mark` is what
    `read_mark` returned before: rollups that go on in between would move entries from the one to the other. `longest`
    is how long the time of one row may be: DAY or QUARTER.
    """
    told, rest = UsageStat.objects.filter(_rolled(begins, ends or coverage.END, mark, longest)), entries(begins, ends)
    return told, rest.filter(created_at__gte=mark or coverage.rolled_until(coverage.USAGE))


def _rolled(begins: datetime, ends: datetime, mark: datetime | None, longest: timedelta) -> Q:
    """Choose the rows that together tell a span, as far as it is rolled up: of its whole days, and beside them."""
    ends = min(ends, mark or ends)
    inside, quarters = Q(starts_at__gte=begins, starts_at__lt=ends), Q(period=UsageStat.Period.QUARTER)
    if longest < coverage.DAY:
        return inside & quarters
    first, last = coverage.ceiling(begins, coverage.DAY), coverage.floor(ends, coverage.DAY)
    over = coverage.rolled_until(coverage.USAGE, "day_until")
    whole = Q(period=UsageStat.Period.DAY, starts_at__gte=first, starts_at__lt=last) & Q(starts_at__lt=over)
    beside = Q(starts_at__lt=first) | Q(starts_at__gte=last) | Q(starts_at__gte=over)
    return inside & (whole | (quarters & beside))


def read_mark() -> datetime:
    """Return how far rollups of the ledger have come."""
    state = RollupState.objects.filter(name=coverage.USAGE).values_list("until", flat=True)
    return state.first() or coverage.BEGINNING


def entries(begins: datetime, ends: datetime | None = None) -> QuerySet[Any]:
    """Return the entries made from `begins` to before `ends`."""
    rows = LedgerEntry.objects.filter(created_at__gte=begins).order_by()
    return rows if ends is None else rows.filter(created_at__lt=ends)


def spent_by_provider(begins: datetime, ends: datetime, only: Mapping[str, str]) -> list[QuerySet[Any]]:
    """Return queries of (provider, 0, 0, 0, amount in quanta), of the quarters of an hour in which the times are."""
    nothing = Value(0)
    amount = Sum("amount_usd", output_field=BigIntegerField(), filter=Q(amount_usd__isnull=False), default=0)
    told = parts(coverage.floor(begins, QUARTER), coverage.floor(ends, QUARTER))
    rows = [each.filter(**only).values_list("provider") for each in told]
    return [each.annotate(c=nothing, f=nothing, a=nothing, usd=amount) for each in rows]
