"""
Price lists as the package genai-prices has them, in our own shape. Read by `sync_prices`, never on a call's way.

What our buckets cannot express is left out, and the model stays unpriced, which is safer than wrong: models that are
billed by request, page, hour or character, and those with prices of their own for images. Where a price depends on the
time of day the dearest counts. What a model adds for searching the web is not billed by tokens and not looked at.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from typing import Any

from genai_prices import types as genai
from genai_prices.data import providers as PROVIDERS

from providers.matching import Clause
from providers.price_book import ALWAYS, Prices

SOURCE = f"genai-prices {version('genai-prices')}"
QUANTUM, NOISE = Decimal("0.000001"), Decimal("1e-12")
COLUMNS = (
    "input_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
    "output_mtok",
    "output_reasoning_mtok",
)
"""The package's names of our buckets, in our order."""
FOREIGN_UNITS = re.compile(r"requests|hours|pages|chars|messages|image|output_video|output_audio")
"""Prices that a call of ours may meet and our buckets cannot express."""

Value = Decimal | genai.TieredPrices
FREE: Prices = (Decimal(0),) * len(COLUMNS)
Sheet = dict[int, Prices]
"""Prices by tier: input larger than -> USD per million tokens by bucket."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One model of a list, or one variant of it: what it costs since when, the oldest first."""

    model: str
    match: Clause
    rank: int
    variant: str
    spans: tuple[tuple[datetime, Sheet], ...]


def list_for(base_url: str, slug: str) -> str:
    """Return which list is a provider's, by its base URL, else by our name for it; empty: none is known."""
    by_url = (each.id for each in PROVIDERS if base_url and re.match(each.api_pattern, base_url))
    return next(by_url, slug if slug in names() else "")


def names() -> list[str]:
    """Return the names of all lists."""
    return [each.id for each in PROVIDERS]


def read(list_id: str) -> tuple[list[Listed], list[str]]:
    """Return everything on a list, in the order in which names are looked up, and the models that are left out."""
    found: list[Listed] = []
    left_out: list[str] = []
    for rank, (label, model, is_own) in enumerate(models_of(list_id), start=1):
        if _is_foreign(model):
            left_out.append(label)
            continue
        found += _listed(label, model, rank, has_variants=is_own)
    return found, left_out


def models_of(list_id: str) -> Iterator[tuple[str, genai.ModelInfo, bool]]:
    """Yield (our name for it, model, is it the list's own?); a reseller's own come before those of who it resells."""
    by_id = {each.id: each for each in PROVIDERS}
    yield from ((model.id, model, True) for model in by_id[list_id].models)
    for other in by_id[list_id].fallback_model_providers or ():
        yield from ((f"{other}:{model.id}", model, False) for model in by_id[other].models)


def _is_foreign(model: genai.ModelInfo) -> bool:
    if _is_free(model):
        return False
    prices = [model.prices] if isinstance(model.prices, genai.ModelPrice) else [each.prices for each in model.prices]
    keys = {key for price in prices for key, value in vars(price).items() if value is not None}
    return not keys & {"input_mtok", "output_mtok"} or any(map(FOREIGN_UNITS.search, keys))


def _is_free(model: genai.ModelInfo) -> bool:
    """Does it say so itself? The list has no prices then; from any other model their want means nothing."""
    return model.id.endswith(":free") and model.prices == genai.ModelPrice()


def _listed(label: str, model: genai.ModelInfo, rank: int, *, has_variants: bool) -> Iterator[Listed]:
    clause = _clause(model.match)
    variants = {next(iter(each.when.values())) for each in model.price_variants or () if len(each.when) == 1}
    for variant in ("", *sorted(variants if has_variants else ())):
        spans = [(since, sheet) for since in _dates(model) if (sheet := _sheet(model, variant, since)) is not None]
        changes = [span for n, span in enumerate(spans) if n == 0 or span[1] != spans[n - 1][1]]
        if changes:
            yield Listed(label, clause, rank, variant, tuple(changes))


def _clause(match: Any) -> Clause:
    """Return the package's clause as JSON; its `or_` and `and_` lose their dash."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key.rstrip("_"): plain(inner) for key, inner in value.items()}
        return [plain(each) for each in value] if isinstance(value, list) else value

    clause: Clause = plain(asdict(match))
    return clause


def _dates(model: genai.ModelInfo) -> list[datetime]:
    """Return when any price of the model begins, midnight UTC, the first of them ALWAYS."""
    conditions = [*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ())]
    starts = {
        datetime.combine(each.constraint.start_date, time(), UTC)
        for each in conditions
        if isinstance(each.constraint, genai.StartDateConstraint)
    }
    return [ALWAYS, *sorted(starts)]


def _sheet(model: genai.ModelInfo, variant: str, at: datetime) -> Sheet | None:
    """Return the prices of that day; None: the variant has none of its own then."""
    if _is_free(model):
        return {0: FREE}
    columns = [_standard(model, key, at) for key in COLUMNS]
    if variant:
        own = [_of_variant(model, key, variant, at) for key in COLUMNS]
        if not any(own):
            return None
        columns = [[mine] if mine else theirs for mine, theirs in zip(own, columns, strict=True)]
    starts = {start for values in columns for value in values for start in _starts(value)}
    return {start: tuple(_dearest(values, start) for values in columns) for start in sorted({0, *starts})}


def _starts(value: Value) -> list[int]:
    return [tier.start for tier in value.tiers] if isinstance(value, genai.TieredPrices) else []


def _standard(model: genai.ModelInfo, key: str, at: datetime) -> list[Value]:
    """Return the price of that day, and those that replace it at some time of the day."""
    if isinstance(model.prices, genai.ModelPrice):
        found = [model.prices]
    else:
        found = [model.prices[0].prices]
        for each in model.prices:
            if isinstance(each.constraint, genai.TimeOfDateConstraint):
                found.append(each.prices)
            elif each.constraint is None or each.constraint.active(at):
                found = [each.prices]
    return [value for price in found if (value := getattr(price, key)) is not None]


def _of_variant(model: genai.ModelInfo, key: str, variant: str, at: datetime) -> Value | None:
    for each in model.price_variants or ():
        is_active = not isinstance(each.constraint, genai.StartDateConstraint) or each.constraint.active(at)
        value: Value | None = getattr(each.prices, key)
        if is_active and list(each.when.values()) == [variant] and value is not None:
            return value
    return None


def _dearest(values: list[Value], start: int) -> Decimal | None:
    return max((_rounded(_at_tier(value, start)) for value in values), default=None)


def _at_tier(value: Value, start: int) -> Decimal:
    if isinstance(value, Decimal):
        return value
    return next((tier.price for tier in reversed(value.tiers) if tier.start <= start and start), value.base)


def _rounded(price: Decimal) -> Decimal:
    """Return the price with six places, rounded up once the noise of somebody's floats is gone."""
    return price.quantize(NOISE).quantize(QUANTUM, rounding=ROUND_CEILING)
