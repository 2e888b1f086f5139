"""Charges corrected after their prices were: each difference is an adjustment that names its charge."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from ai_tasks.accounts import charges
from ai_tasks.accounts.models import Attempt, LedgerEntry
from ai_tasks.models import AIGenerationTask

BATCH = 200
"""Charges that are read at once; each is corrected in a transaction of its own."""


@dataclass(frozen=True, slots=True)
class Rerated:
    """What became of one charge."""

    model: str
    before_usd: Decimal
    difference_usd: Decimal | None
    """None: it was right, or the model still has no price."""
    is_unpriced: bool
    """Has it no price, before and after?"""


def chosen(provider: str, model: str, since: datetime, until: datetime) -> QuerySet[LedgerEntry]:
    """Return the charges of calls that started in that time at the provider, or at that one of its models."""
    rows = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.CHARGE, provider=provider)
    rows = rows.filter(attempt__started_at__gte=since, attempt__started_at__lt=until)
    return (rows.filter(model=model) if model else rows).order_by("pk")


def rerate(rows: QuerySet[LedgerEntry], now: datetime, *, is_dry: bool = False) -> Iterator[Rerated]:
    """
    Bring these charges into line with the prices that are now on the lists for the moments when their calls started.

    Writes adjustments, corrects the budgets that paid and the tasks' cost; what is right already is left alone, so it
    may be broken off and begun again. A dry run does the same and takes each back.
    """
    last = 0
    while batch := list(rows.filter(pk__gt=last).values_list("pk", "task_id", "attempt_id")[:BATCH]):
        for charge_id, task_id, attempt_id in batch:
            yield _one(charge_id, task_id, attempt_id, now, is_dry=is_dry)
        last = batch[-1][0]


@transaction.atomic
def _one(charge_id: int, task_id: object, attempt_id: int, now: datetime, *, is_dry: bool) -> Rerated:
    AIGenerationTask.objects.select_for_update().get(pk=task_id)
    attempt = Attempt.objects.select_for_update().get(pk=attempt_id)
    charge = LedgerEntry.objects.get(pk=charge_id)
    charge.attempt = attempt
    usage, before = charges.booked(charge)
    difference = charges.adjust(charge, usage, reason=f"re-rated on {now:%Y-%m-%d}", now=now)
    if difference is not None:
        cost = charges.total_usd(task_id)
        AIGenerationTask.objects.filter(pk=task_id, finished_at__isnull=False).update(cost_usd=cost)
    transaction.set_rollback(is_dry)
    return Rerated(charge.model, before, difference, charges.price(attempt, usage) is None)
