"""The command `prune`."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from ai_tasks import clock, retention


class Command(BaseCommand):
    """`manage.py prune`."""

    help = (
        "Delete what was kept for longer than AI_KEEP_PAYLOADS_DAYS and AI_KEEP_DEAD_LETTERS_DAYS say. "
        "Beat does it, too, some thousand rows at a time; this goes on to the end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whether to only count, and how much at once."""
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument("--batch", type=int, default=retention.BATCH, help="rows deleted in one transaction")
        parser.add_argument("--json", action="store_true", help="print JSON alone")

    def handle(self, *, dry_run: bool, batch: int, **options: Any) -> None:
        """Delete, and print how many rows of each kind."""
        counts = retention.due(clock.now()) if dry_run else self._prune(batch)
        if options["json"]:
            self.stdout.write(json.dumps(counts))
            return
        for name, count in counts.items():
            self.stdout.write(f"{name.replace('_', ' ')}: {count:,}{' to delete' if dry_run else ' deleted'}")

    def _prune(self, batch: int) -> dict[str, int]:
        now, total = clock.now(), dict.fromkeys(retention.due(clock.now()), 0)
        while any((done := retention.prune(now, most=1, batch=max(1, batch))).values()):
            total = {name: count + done[name] for name, count in total.items()}
            self.stderr.write(f"\r{sum(total.values()):,} rows ...", ending="")
        return total
