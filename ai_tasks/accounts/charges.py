"""The ledger: exactly one charge per started attempt, and the adjustments that correct it."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from ai_tasks.accounts import budgets
from ai_tasks.accounts.fields import UsdField, to_quantum
from ai_tasks.accounts.managers import BUCKETS
from ai_tasks.accounts.models import Attempt, LedgerEntry
from providers import gateway
from providers.types import Candidate, Usage, UsageSource

ZERO = Decimal(0)


class Payer(Protocol):
    """What a charge needs to know of the task."""

    pk: object
    owner_id: int
    type: str


def buckets(usage: Usage) -> dict[str, int | str]:
    """Return the usage as the columns of attempts and ledger entries."""
    return {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "usage_source": usage.source.value,
    }


def public_usage(usage: Usage) -> dict[str, int | str]:
    """Return the usage as clients see it: cached within input, reasoning within output."""
    return {
        "input_tokens": usage.total_input,
        "cached_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.total_output,
        "reasoning_tokens": usage.reasoning_tokens,
        "total_tokens": usage.total,
        "source": usage.source.value,
    }


def price(attempt: Attempt, usage: Usage) -> Decimal | None:
    """Return the cost of this usage at the price in force when the attempt started; None: unpriced."""
    if usage.total == 0:
        return ZERO
    at = attempt.started_at or attempt.admitted_at
    cost = gateway.cost_usd(Candidate(attempt.provider, attempt.model), usage, at)
    return None if cost is None else to_quantum(cost)


def charge(attempt: Attempt, task: Payer, usage: Usage, *, reason: str = "", now: datetime) -> bool:
    """
    Write the attempt's charge and settle its holds; False when it was charged already.

    Part of the caller's transaction. `reason` says why it is an estimate.
    """
    fields = _fields(attempt, task, usage, reason, now)
    _, made = LedgerEntry.objects.get_or_create(attempt=attempt, kind=LedgerEntry.Kind.CHARGE, defaults=fields)
    if made:
        budgets.settle_all([(attempt, fields["amount_usd"] or ZERO)], now)
    return made


def charge_running(ended: Iterable[tuple[Attempt, Payer, Usage, str]], now: datetime) -> list[LedgerEntry]:
    """
    Write the charges of several attempts, each with its task, usage and reason, and return them; `settle` is to follow.

    The caller has their running entries locked, so nobody can have charged them; were it otherwise, the constraint
    would undo the transaction.
    """
    rows = [
        LedgerEntry(attempt=attempt, kind=LedgerEntry.Kind.CHARGE, **_fields(attempt, task, usage, reason, now))
        for attempt, task, usage, reason in ended
    ]
    return LedgerEntry.objects.bulk_create(rows)


def settle(charges: Iterable[LedgerEntry], now: datetime) -> list[int]:
    """
    Turn the holds of charged attempts into spending, and return the ids of the budgets that paid.

    As late as can be in a transaction: all others who settle or admit meet at these rows, and wait.
    """
    return budgets.settle_all([(row.attempt, row.amount_usd or ZERO) for row in charges], now)


def _fields(attempt: Attempt, task: Payer, usage: Usage, reason: str, now: datetime) -> dict[str, Any]:
    cost = price(attempt, usage)
    return {
        "task_id": task.pk,
        "owner_id": task.owner_id,
        "task_type": task.type,
        "provider": attempt.provider,
        "model": attempt.model,
        "amount_usd": cost,
        "unpriced": int(cost is None),
        "reason": reason or _assumption(attempt, usage),
        "created_at": now,
        **buckets(usage),
    }


def _assumption(attempt: Attempt, usage: Usage) -> str:
    """Say that the price is assumed, where it is: `rerate` corrects it once it is known."""
    at = attempt.started_at or attempt.admitted_at
    is_assumed = gateway.is_assumed(Candidate(attempt.provider, attempt.model), usage, at)
    return "at the price that is assumed for models without one" if is_assumed else ""


def booked(charge: LedgerEntry) -> tuple[Usage, Decimal]:
    """Return the usage and the amount that a charge and its adjustments come to; what is unpriced counts as nothing."""
    rows = LedgerEntry.objects.filter(Q(pk=charge.pk) | Q(charge=charge))
    sums = rows.aggregate(
        amount=Sum("amount_usd", output_field=UsdField()), **{name: Coalesce(Sum(name), 0) for name in BUCKETS}
    )
    amount, source = sums.pop("amount"), rows.order_by("-pk").values_list("usage_source", flat=True)[0]
    return Usage(**sums, source=UsageSource(source)), amount or ZERO


def adjust(charge: LedgerEntry, wanted: Usage, *, reason: str, now: datetime) -> Decimal | None:
    """
    Bring what a charge comes to into line with this usage, at the price that is now known for that moment.

    Writes one adjustment with the differences, corrects the budgets that paid, and returns the difference in money (0
    while the model has no price); None when nothing was to be adjusted. Part of the caller's transaction, which has the
    attempt locked.
    """
    usage, amount = booked(charge)
    cost = price(charge.attempt, wanted)
    difference = ZERO if cost is None else cost - amount
    is_first_price = cost is not None and charge.unpriced and not charge.adjustments.filter(unpriced=-1).exists()
    tokens = {name: getattr(wanted, name) - getattr(usage, name) for name in BUCKETS}
    if not difference and not any(tokens.values()) and not is_first_price:
        return None
    LedgerEntry.objects.create(
        kind=LedgerEntry.Kind.ADJUSTMENT,
        attempt=charge.attempt,
        charge=charge,
        task_id=charge.task_id,
        owner_id=charge.owner_id,
        task_type=charge.task_type,
        provider=charge.provider,
        model=charge.model,
        amount_usd=difference,
        unpriced=-int(bool(is_first_price)),
        usage_source=wanted.source.value,
        reason=reason,
        created_at=now,
        **tokens,
    )
    budgets.correct(charge.attempt, difference)
    return difference


def total_usd(task_id: object) -> Decimal | None:
    """Return what a task cost so far, corrections included; None when any of it has no price, or nothing is charged."""
    rows = LedgerEntry.objects.filter(task_id=task_id)
    found = rows.aggregate(total=Sum("amount_usd", output_field=UsdField()), unpriced=Sum("unpriced"))
    return None if found["unpriced"] else found["total"]
