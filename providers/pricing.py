"""What calls cost: our own price rows by effective date, exact Decimals. Nothing here asks anybody outside."""

from datetime import datetime
from decimal import Decimal

from providers import price_book
from providers.price_book import ALWAYS, Tariff, forget
from providers.types import Candidate, Unpriced, Usage

__all__ = ["ALWAYS", "bound_usd", "cost_usd", "forget", "tariff", "unpriced"]


def tariff(candidate: Candidate, at: datetime) -> Tariff | None:
    """Return what the model costs at that moment, by list or, where the provider's policy says so, by assumption."""
    book = price_book.book(candidate.provider)
    return book.tariff(candidate.model, at) or book.assumed


def unpriced(candidate: Candidate, at: datetime) -> Unpriced | None:
    """Return the provider's policy for a model that is on no list at that moment; None: it is listed."""
    book = price_book.book(candidate.provider)
    return None if book.tariff(candidate.model, at) else book.unpriced


def cost_usd(candidate: Candidate, usage: Usage, at: datetime) -> Decimal | None:
    """Return what the usage costs at that moment's price, unrounded; None: unpriced."""
    found = tariff(candidate, at)
    return None if found is None else found.cost_usd(usage)


def bound_usd(candidate: Candidate, input_tokens: int, output_tokens: int, at: datetime) -> Decimal | None:
    """Return the most that a call with at most so many tokens can cost, unrounded; None: unpriced."""
    found = tariff(candidate, at)
    return None if found is None else found.bound_usd(input_tokens, output_tokens)
