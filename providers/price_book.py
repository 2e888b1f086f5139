"""A provider's prices as a process remembers them: the lists, which of them a model's name means, and the policy."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from time import monotonic
from typing import Any

from django.db.models import Count, Max

from providers import matching
from providers.matching import Clause
from providers.models import Price, Provider
from providers.types import BUCKETS, Unpriced, Usage

ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)
"""Effective date of prices that never were otherwise."""
MILLION = Decimal(1_000_000)
CHECK_SECONDS = 5
"""How long prices may be out of date in a process that has not changed them itself."""
MOST_NAMES = 1_000
"""Model names that a process remembers for a provider: anybody may make some up."""
INPUT = 4
"""So many of the buckets, the first ones, are input."""

Prices = tuple[Decimal | None, ...]
"""USD per million tokens, in the order of BUCKETS; None: not known."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """A list's prices in one span of time, by tier: (input larger than, prices), the lowest tier first."""

    since: datetime
    until: datetime | None
    tiers: tuple[tuple[int, Prices], ...]

    def prices(self, input_tokens: int) -> Prices:
        """Return the prices of a call with so much input; a tier's are those of all its tokens."""
        return next(prices for above, prices in reversed(self.tiers) if input_tokens > above or above == 0)

    def cost_usd(self, usage: Usage) -> Decimal | None:
        """Return what the usage costs, exact; None where any of its tokens have no price."""
        total = Decimal(0)
        for bucket, price in zip(BUCKETS, self.prices(usage.total_input), strict=True):
            tokens = getattr(usage, f"{bucket}_tokens")
            if tokens and price is None:
                return None
            total += tokens * (price or 0)
        return total / MILLION

    def bound_usd(self, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return the most that a call with at most so many tokens costs, whatever their buckets; None: not known."""
        reachable = [prices for above, prices in self.tiers if input_tokens > above or above == 0]
        total = Decimal(0)
        for tokens, buckets in ((input_tokens, slice(INPUT)), (output_tokens, slice(INPUT, None))):
            known = [price for prices in reachable for price in prices[buckets]]
            if tokens and None in known:
                return None
            total += tokens * max((price for price in known if price is not None), default=Decimal(0))
        return total / MILLION


@dataclass(frozen=True, slots=True)
class PriceList:
    """One list: which names it stands for, and its tariffs by variant."""

    model: str
    match: Clause | None
    tariffs: dict[str, list[Tariff]]

    def stands_for(self, name: str) -> bool:
        """Does it list this name, which is in lower case?"""
        return matching.matches(self.match, name) if self.match else self.model.lower() == name

    def in_force(self, at: datetime, variant: str) -> Tariff | None:
        """Return the tariff of that moment: the variant's, else the standard one."""
        tariffs = (*self.tariffs.get(variant, ()), *self.tariffs.get("", ()))
        return next((each for each in tariffs if each.since <= at and (each.until is None or at < each.until)), None)


@dataclass(slots=True)
class Book:
    """A provider's lists, the operators' before the imported ones, and what to do without a price."""

    unpriced: Unpriced = Unpriced.WITHOUT_BUDGET
    assumed: Tariff | None = None
    variant: str = ""
    lists: list[PriceList] = field(default_factory=list)
    stamp: tuple[Any, ...] = ()
    checked_at: float = 0.0
    _found: dict[str, list[PriceList]] = field(default_factory=dict)

    def tariff(self, model: str, at: datetime) -> Tariff | None:
        """Return what the model costs at that moment; None: it is not listed."""
        return next((each for one in self._lists_of(model) if (each := one.in_force(at, self.variant))), None)

    def _lists_of(self, model: str) -> list[PriceList]:
        found = self._found.get(model)
        if found is None:
            names = matching.spellings(model)
            found = [one for name in names for one in self.lists if one.stands_for(name)]
            if len(self._found) >= MOST_NAMES:
                self._found.clear()
            self._found[model] = found
        return found


_books: dict[str, Book] = {}


def book(provider: str) -> Book:
    """Return the provider's prices: remembered, and every few seconds asked whether they have changed (one query)."""
    found = _books.get(provider)
    if found is None or monotonic() - found.checked_at >= CHECK_SECONDS:
        found = _books[provider] = _fresh(provider, found)
    return found


def forget() -> None:
    """Read prices anew at the next use; for whoever has changed them."""
    _books.clear()


def _fresh(provider: str, old: Book | None) -> Book:
    columns = ("unpriced", "assumed_input_usd", "assumed_output_usd", "price_variant")
    rows = Provider.objects.filter(pk=provider).values_list(*columns)
    stamp = rows.annotate(count=Count("prices"), newest=Max("prices__changed_at")).order_by("pk").first()
    if stamp is None:
        return Book(checked_at=monotonic())
    if old is not None and old.stamp == stamp:
        old.checked_at = monotonic()
        return old
    unpriced, assumed_input, assumed_output, variant = stamp[: len(columns)]
    assumed = _assumed(assumed_input, assumed_output) if unpriced == Unpriced.ASSUME else None
    return Book(Unpriced(unpriced), assumed, variant, _read(provider), stamp, monotonic())


def _assumed(input_usd: Decimal, output_usd: Decimal) -> Tariff:
    prices = (*[input_usd] * INPUT, *[output_usd] * (len(BUCKETS) - INPUT))
    return Tariff(ALWAYS, None, ((0, prices),))


def _read(provider: str) -> list[PriceList]:
    rows = Price.objects.of(provider)
    lists = []
    for _, group in groupby(rows, key=lambda row: (row.origin, row.rank, not row.match, row.model)):
        of_list = list(group)
        lists.append(PriceList(of_list[0].model, of_list[0].match, _tariffs(of_list)))
    return lists


def _tariffs(rows: list[Price]) -> dict[str, list[Tariff]]:
    """Return a list's tariffs by variant, the newest first; rows of one span are its tiers."""
    found: dict[str, list[Tariff]] = {}
    for (variant, since), group in groupby(rows, key=lambda row: (row.variant, row.effective_from)):
        tiers = list(group)
        until = min((row.effective_until for row in tiers if row.effective_until), default=None)
        columns = tuple((row.above_input_tokens, _prices(row)) for row in tiers)
        found.setdefault(variant, []).append(Tariff(since, until, columns))
    return found


def _prices(row: Price) -> Prices:
    return filled(tuple(getattr(row, f"{bucket}_usd") for bucket in BUCKETS))


def filled(prices: Prices) -> Prices:
    """Return the prices with what is not stated: cached input as input, an hour's write as any, reasoning as output."""
    plain, read, write, write_1h, output, reasoning = prices
    write = plain if write is None else write
    return (
        plain,
        plain if read is None else read,
        write,
        write if write_1h is None else write_1h,
        output,
        output if reasoning is None else reasoning,
    )
