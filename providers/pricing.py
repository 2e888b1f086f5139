"""What calls cost: our own price rows by effective date, exact Decimals."""

from datetime import UTC, datetime
from decimal import Decimal
from time import monotonic

from providers.models import Price
from providers.types import Candidate, Quote, Usage

MILLION = Decimal(1_000_000)
CACHE_SECONDS = 60
ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)
"""Effective date of prices that never were otherwise."""

Listed = list[tuple[datetime, Quote]]

_cache: dict[Candidate, tuple[float, Listed]] = {}


def quote(candidate: Candidate, at: datetime) -> Quote | None:
    """Return the price in force at that moment, or None: unpriced. A new row is seen within a minute."""
    return next((price for since, price in _listed(candidate) if since <= at), None)


def cost_usd(candidate: Candidate, usage: Usage, at: datetime) -> Decimal | None:
    """Return what the usage costs at that moment's price, unrounded; None: unpriced."""
    price = quote(candidate, at)
    if price is None:
        return None
    return (
        usage.input_tokens * price.input_usd
        + usage.cache_read_tokens * price.cache_read_usd
        + usage.cache_write_tokens * price.cache_write_usd
        + usage.output_tokens * price.output_usd
        + usage.reasoning_tokens * price.reasoning_usd
    ) / MILLION


def forget() -> None:
    """Read prices anew at the next use; for whoever has changed them."""
    _cache.clear()


def _listed(candidate: Candidate) -> Listed:
    """Return (since, price), the newest first. That there is none is not remembered: any model may be named."""
    read_at, listed = _cache.get(candidate, (0.0, []))
    if listed and monotonic() - read_at < CACHE_SECONDS:
        return listed
    rows = Price.objects.of(candidate.provider, candidate.model)
    if listed := [(row.effective_from, _quote(row)) for row in rows]:
        _cache[candidate] = (monotonic(), listed)
    return listed


def _quote(row: Price) -> Quote:
    return Quote(row.input_usd, row.cache_read_usd, row.cache_write_usd, row.output_usd, row.reasoning_usd)
