"""The command `rebuild_rollups`."""

from argparse import ArgumentParser
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ai_tasks import clock, rollups


class Command(BaseCommand):
    """`manage.py rebuild_rollups`."""

    help = (
        "Make the rollups that statistics and reports read anew, from the tasks and the ledger, an hour at a time. "
        "Readers and beat may go on meanwhile, and it may be broken off and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which days."""
        parser.add_argument("--since", type=date.fromisoformat, required=True, help="first day in UTC, as 2026-11-23")
        parser.add_argument("--until", type=date.fromisoformat, help="the day after the last (default: up to now)")

    def handle(self, *, since: date, until: date | None, **_: Any) -> None:
        """Make them anew, with progress, and whatever was not rolled up yet."""
        now = clock.now()
        end = datetime.combine(until or (now + timedelta(days=1)).date(), time(), UTC)
        begins = datetime.combine(since, time(), UTC)
        if begins >= end:
            raise CommandError("--until must be later than --since.")
        while rollups.roll_up(now):
            self.stderr.write("\rRolling up what is new ...", ending="")
        hours = 0
        for hour in rollups.rebuild(begins, end, now):
            hours += 1
            self.stderr.write(f"\r{hour:%Y-%m-%d %H:%M} ...", ending="")
        self.stdout.write(f"Made the rollups of {hours:,} hours anew.")
