"""The command `sync_prices`."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from providers import price_sync
from providers.models import Provider
from providers.price_book import Prices
from providers.price_lists import SOURCE, Sheet
from providers.price_sync import Change, Diff, UnknownList
from providers.types import BUCKETS

MOST_SHOWN = 20
"""New models that are named; changes are all shown."""


class Command(BaseCommand):
    """Import published prices into our own table, and show what they change."""

    help = (
        "Import the prices that the installed package genai-prices has for our providers, and show what changes. "
        "Operators' own prices stay and go first; what was in force stays. Nothing is fetched from anywhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--provider", action="append", metavar="NAME", help="only this one (repeatable)")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document, with every change")

    def handle(self, *_: Any, provider: list[str] | None, dry_run: bool, **options: Any) -> None:
        """Sync each provider in a transaction of its own."""
        known = list(Provider.objects.order_by("pk").values_list("pk", flat=True))
        if unknown := sorted(set(provider or ()) - set(known)):
            raise CommandError(f"There is no provider {unknown[0]!r}; there are {', '.join(known) or 'none'}.")
        now = timezone.now()
        try:
            done = {slug: price_sync.sync(slug, now, is_dry=dry_run) for slug in provider or known}
        except UnknownList as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            documents = [diff.document() for diff in done.values() if diff]
            self.stdout.write(json.dumps({"source": SOURCE, "dry_run": dry_run, "providers": documents}))
            return
        for slug, diff in done.items():
            self._show(slug, diff)
        self.stdout.write("Nothing was changed: this was a dry run." if dry_run else "Done.")

    def _show(self, slug: str, diff: Diff | None) -> None:
        if diff is None:
            self.stdout.write(f"{slug}: no price list is known; name one in its row (price list), or enter prices.")
            return
        new = [change for change in diff.changes if change.before is None]
        changed = [change for change in diff.changes if change.before is not None]
        self.stdout.write(
            f"{slug}: list {diff.list_id} of {SOURCE}: {len(new)} new, {len(changed)} changed, "
            f"{diff.unchanged} unchanged, {len(diff.left_out)} left out (not billed by tokens)"
        )
        for change in [*changed, *new[:MOST_SHOWN]]:
            self.stdout.write(f"  {_line(change)}")
        if len(new) > MOST_SHOWN:
            self.stdout.write(f"  and {len(new) - MOST_SHOWN} more")


def _line(change: Change) -> str:
    name = f"{change.model} ({change.variant})" if change.variant else change.model
    before = "" if change.before is None else f"{_short(change.before)} -> "
    return f"{name} from {change.since:%Y-%m-%d}: {before}{_short(change.after)}"


def _short(sheet: Sheet) -> str:
    """Return a sheet's prices, tier by tier; what is not stated is left out."""
    return "; ".join((f"above {above}: " if above else "") + _prices(prices) for above, prices in sheet.items())


def _prices(prices: Prices) -> str:
    stated = ((name, usd) for name, usd in zip(BUCKETS, prices, strict=True) if usd is not None)
    return ", ".join(f"{name} {usd.normalize():f}" for name, usd in stated)
