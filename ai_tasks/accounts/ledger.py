"""Sums of the ledger: its rollups, and what is not rolled up yet."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import BigIntegerField, Q, QuerySet, Sum, Value

from ai_tasks.accounts import coverage
from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.accounts.rollup_models import RollupState, UsageStat

QUARTER = coverage.HOUR / 4


def parts(begins: datetime, ends: datetime | None = None, *, mark: Any = None) -> tuple[QuerySet[Any], QuerySet[Any]]:
    """
    Return the rollups and the entries that together are the ledger from `begins` to before `ends`, each entry once.

    Both must be multiples of a quarter of an hour. Where they are read by more than one statement, `mark` is what
    `read_mark` returned before: rollups that go on in between would move entries from the one to the other.
    """
    told, rest = UsageStat.objects.filter(starts_at__gte=begins), entries(begins, ends)
    if ends is not None:
        told = told.filter(starts_at__lt=ends)
    if mark is not None:
        told = told.filter(starts_at__lt=mark)
    return told, rest.filter(created_at__gte=mark or coverage.rolled_until(coverage.USAGE))


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
