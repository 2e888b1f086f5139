"""
Brings our imported prices up to date with a published list; what has been in force stays as it was.

A price that changes on a stated day changes on that day, also if it has passed (`rerate` corrects what was charged
meanwhile); one that changes without a word about when, now. What is no longer listed keeps its price. Operators' own
prices are another origin and never touched.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db import transaction

from providers import price_lists, pricing, registry
from providers.models import Price, Provider
from providers.price_lists import SOURCE, Listed, Sheet
from providers.types import BUCKETS

Timeline = dict[datetime, Sheet]
"""Prices by the moment from which they count, in order."""

IMPORTED = Price.Origin.IMPORTED


class UnknownList(ValueError):
    """The provider's row names a list that is not published."""


@dataclass(frozen=True, slots=True)
class Change:
    """One new or changed price: what counts from a moment on, and what counted before (None: nothing)."""

    model: str
    variant: str
    since: datetime
    before: Sheet | None
    after: Sheet

    def document(self) -> dict[str, Any]:
        """Return it for a machine."""
        return {
            "model": self.model,
            "variant": self.variant,
            "effective_from": self.since.isoformat(),
            "before": None if self.before is None else _plain(self.before),
            "after": _plain(self.after),
        }


def _plain(sheet: Sheet) -> dict[str, dict[str, str | None]]:
    return {
        str(above): {name: None if usd is None else f"{usd:f}" for name, usd in zip(BUCKETS, prices, strict=True)}
        for above, prices in sheet.items()
    }


@dataclass(slots=True)
class Diff:
    """What a sync of one provider changed, or would change."""

    provider: str
    list_id: str
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    left_out: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it for a machine."""
        return {
            "provider": self.provider,
            "list": self.list_id,
            "source": SOURCE,
            "new": sum(change.before is None for change in self.changes),
            "changed": sum(change.before is not None for change in self.changes),
            "unchanged": self.unchanged,
            "left_out": self.left_out,
            "changes": [change.document() for change in self.changes],
        }


def list_of(provider: Provider) -> str:
    """Return whose list is this provider's; empty: none is known. Raises UnknownList for a name that is none."""
    if provider.price_list:
        if provider.price_list not in price_lists.names():
            known = ", ".join(price_lists.names())
            raise UnknownList(f"{provider.slug}: there is no price list {provider.price_list!r}; there are {known}.")
        return provider.price_list
    config = registry.configs().get(provider.slug)
    return price_lists.list_for(config.base_url if config else "", provider.slug)


@transaction.atomic
def sync(slug: str, now: datetime, *, is_dry: bool = False) -> Diff | None:
    """
    Import the provider's list and return what is new; None: no list is known for it.

    Atomic under the provider's row. A dry run writes nothing.
    """
    provider = Provider.objects.select_for_update().get(pk=slug)
    list_id = list_of(provider)
    if not list_id:
        return None
    listed, left_out = price_lists.read(list_id)
    diff = Diff(slug, list_id, left_out=left_out)
    stored = _stored(provider)
    for each in listed:
        rows = stored.get((each.model, each.variant), [])
        timeline = _timeline(rows)
        wanted = merged(timeline, each, now)
        changes = list(_changes(each, timeline, wanted))
        diff.changes += changes
        diff.unchanged += not changes
        if not is_dry:
            _write(provider, each, rows, wanted, now)
    pricing.forget()
    return diff


def merged(timeline: Timeline, listed: Listed, now: datetime) -> Timeline:
    """Return the timeline that keeps what has been in force and has what the list says from now on."""
    if not timeline:
        return dict(listed.spans)
    result = {since: sheet for since, sheet in timeline.items() if since <= now}
    past = [(since, sheet) for since, sheet in listed.spans if since <= now]
    for since, sheet in past:
        if since != pricing.ALWAYS and since not in result and _in_force(result, since) != sheet:
            result[since] = sheet
    if past and _in_force(result, now) != past[-1][1]:
        result[now] = past[-1][1]
    result |= {since: sheet for since, sheet in listed.spans if since > now}
    return dict(sorted(result.items()))


def _in_force(timeline: Timeline, at: datetime) -> Sheet | None:
    newest = max((since for since in timeline if since <= at), default=None)
    return None if newest is None else timeline[newest]


def _changes(listed: Listed, timeline: Timeline, wanted: Timeline) -> Iterable[Change]:
    for since, sheet in wanted.items():
        if timeline.get(since) != sheet:
            yield Change(listed.model, listed.variant, since, _in_force(timeline, since), sheet)


def _stored(provider: Provider) -> dict[tuple[str, str], list[Price]]:
    found: dict[tuple[str, str], list[Price]] = {}
    for row in provider.prices.filter(origin=IMPORTED).order_by("effective_from", "above_input_tokens"):
        found.setdefault((row.model, row.variant), []).append(row)
    return found


def _timeline(rows: Iterable[Price]) -> Timeline:
    timeline: Timeline = {}
    for row in rows:
        timeline.setdefault(row.effective_from, {})[row.above_input_tokens] = _columns(row)
    return timeline


def _columns(row: Price) -> tuple[Decimal | None, ...]:
    return tuple(getattr(row, f"{bucket}_usd") for bucket in BUCKETS)


def _write(provider: Provider, listed: Listed, rows: list[Price], wanted: Timeline, now: datetime) -> None:
    """Make the list's rows say what is wanted: close, add, and replace what was to come."""
    kept = _timeline(rows)
    until = dict(pairwise([*wanted, None]))
    for row in rows:
        if kept[row.effective_from] != wanted.get(row.effective_from):
            row.delete()
        elif (row.effective_until, row.match, row.rank) != (until[row.effective_from], listed.match, listed.rank):
            row.effective_until, row.match, row.rank = until[row.effective_from], listed.match, listed.rank
            row.save(update_fields=["effective_until", "match", "rank", "changed_at"])
    Price.objects.bulk_create(
        _row(provider, listed, since, until[since], above, prices, now)
        for since, sheet in wanted.items()
        if kept.get(since) != sheet
        for above, prices in sheet.items()
    )


def _row(
    provider: Provider,
    listed: Listed,
    since: datetime,
    until: datetime | None,
    above: int,
    prices: tuple[Decimal | None, ...],
    now: datetime,
) -> Price:
    return Price(
        provider=provider,
        origin=IMPORTED,
        model=listed.model,
        match=listed.match,
        rank=listed.rank,
        variant=listed.variant,
        above_input_tokens=above,
        effective_from=since,
        effective_until=until,
        source=f"{SOURCE}, {now:%Y-%m-%d}",
        **{f"{bucket}_usd": usd for bucket, usd in zip(BUCKETS, prices, strict=True)},
    )
