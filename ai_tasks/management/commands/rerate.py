"""The command `rerate`."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ai_tasks import clock, rerating
from ai_tasks.accounts.fields import plain_usd
from ai_tasks.rerating import Rerated
from providers import routing

PROGRESS_EVERY = 500


@dataclass(slots=True)
class Totals:
    """What the charges of one model came to."""

    charges: int = 0
    adjusted: int = 0
    unpriced: int = 0
    before_usd: Decimal = Decimal(0)
    difference_usd: Decimal = Decimal(0)

    def add(self, done: Rerated) -> None:
        """Count one more."""
        self.charges += 1
        self.adjusted += done.difference_usd is not None
        self.unpriced += done.is_unpriced
        self.before_usd += done.before_usd
        self.difference_usd += done.difference_usd or Decimal(0)

    def document(self, model: str) -> dict[str, Any]:
        """Return it for a machine."""
        return {
            "model": model,
            "charges": self.charges,
            "adjusted": self.adjusted,
            "unpriced": self.unpriced,
            "before_usd": plain_usd(self.before_usd),
            "after_usd": plain_usd(self.before_usd + self.difference_usd),
            "difference_usd": plain_usd(self.difference_usd),
        }


class Command(BaseCommand):
    """Correct what calls were charged, after their prices were corrected."""

    help = (
        "Price the calls of a time again, by the prices that are now on the lists for the moments when they started. "
        "Each difference is written as an adjustment that names its charge; budgets and tasks follow. "
        "It may be broken off and run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--provider", required=True, metavar="NAME")
        parser.add_argument("--model", default="", help="only this model, as the calls named it (default: all)")
        parser.add_argument("--from", dest="since", required=True, type=_moment, help="2026-11-01, or with a time; UTC")
        parser.add_argument("--to", dest="until", required=True, type=_moment, help="up to, and without, this")
        parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(
        self, *_: Any, provider: str, model: str, since: datetime, until: datetime, dry_run: bool, **options: Any
    ) -> None:
        """Re-rate and say, per model, what it came to."""
        if since >= until:
            raise CommandError("--to must be later than --from.")
        rows = rerating.chosen(provider, model, since, until)
        if not rows.exists() and provider not in routing.slugs():
            raise CommandError(f"There is no provider {provider!r}, and nothing was charged there.")
        models: dict[str, Totals] = {}
        for number, done in enumerate(rerating.rerate(rows, clock.now(), is_dry=dry_run), start=1):
            models.setdefault(done.model, Totals()).add(done)
            if number % PROGRESS_EVERY == 0 and not options["json"]:
                self.stderr.write(f"{number} charges ...")
        report = [totals.document(f"{provider}/{name}") for name, totals in sorted(models.items())]
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": dry_run, "models": report}))
        else:
            self._show(report, is_dry=dry_run)

    def _show(self, report: list[dict[str, Any]], *, is_dry: bool) -> None:
        for each in report:
            self.stdout.write(
                f"{each['model']}: {each['charges']} charges, {each['adjusted']} adjusted, {each['unpriced']} still "
                f"unpriced: {each['before_usd']} -> {each['after_usd']} USD"
            )
        self.stdout.write("Nothing was changed: this was a dry run." if is_dry else "Done.")


def _moment(text: str) -> datetime:
    """Read a day or a time, in UTC where it does not say; argparse turns a ValueError into its message."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
