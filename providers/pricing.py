"""What calls cost: our own price rows by effective date, exact Decimals. Nothing here asks anybody outside."""

from datetime import datetime
from decimal import Decimal

from providers import price_book
from providers.price_book import ALWAYS, forget
from providers.types import Candidate, Unpriced, Usage

__all__ = ["ALWAYS", "bound_usd", "cost_usd", "forget", "is_assumed", "unpriced"]


def cost_usd(candidate: Candidate, usage: Usage, at: datetime) -> Decimal | None:
    """Return what the usage costs, unrounded, by that moment's list or else by the assumed price; None: unpriced."""
    found = _listed(candidate, usage, at)
    assumed = price_book.book(candidate.provider).assumed
    return found if found is not None or assumed is None else assumed.cost_usd(usage)


def is_assumed(candidate: Candidate, usage: Usage, at: datetime) -> bool:
    """Is that cost by assumption, for want of a price?"""
    return price_book.book(candidate.provider).assumed is not None and _listed(candidate, usage, at) is None


def _listed(candidate: Candidate, usage: Usage, at: datetime) -> Decimal | None:
    tariff = price_book.book(candidate.provider).tariff(candidate.model, at)
    return None if tariff is None else tariff.cost_usd(usage)


def bound_usd(candidate: Candidate, input_tokens: int, output_tokens: int, at: datetime) -> Decimal | None:
    """Return the most that a call with at most so many tokens can cost, unrounded; None: unpriced."""
    book = price_book.book(candidate.provider)
    tariffs = (each for each in (book.tariff(candidate.model, at), book.assumed) if each is not None)
    bounds = (each.bound_usd(input_tokens, output_tokens) for each in tariffs)
    return next((bound for bound in bounds if bound is not None), None)


def unpriced(provider: str) -> Unpriced:
    """Return what becomes of the provider's calls without a price."""
    return price_book.book(provider).unpriced
