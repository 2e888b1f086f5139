"""The command `rebuild_rollups`."""

from argparse import ArgumentParser
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.management.base import BaseCommand

from ai_tasks import clock, rollups


class Command(BaseCommand):
    """`manage.py rebuild_rollups`."""

    help = "Make the statistics anew from the tasks and the ledger. While it runs they are read from those."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where to begin."""
        parser.add_argument("--since", type=date.fromisoformat, required=True, help="a day in UTC, as 2026-11-23")

    def handle(self, *, since: date, **_: Any) -> None:
        """Make them anew, with progress."""
        rollups.rebuild(datetime.combine(since, time(), UTC))
        steps = 0
        while done := rollups.roll_up(clock.now()):
            steps += done
            self.stderr.write(f"\r{steps:,} steps ...", ending="")
        self.stdout.write(f"Rolled up anew in {steps:,} steps.")
