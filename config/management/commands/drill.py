"""Run the fault matrix: every kind of error, and what becomes of the task, its client and the money."""

import json
import subprocess
import sys
import tempfile
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config import drill
from config.stack import BASE_DIR
from providers import gateway


class Command(BaseCommand):
    """`manage.py drill`: on simulated providers and a database of its own, which are gone afterwards."""

    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how to print it."""
        parser.add_argument("--json", action="store_true", help="print JSON alone")
        parser.add_argument("--write", type=Path, metavar="FILE", help="renew the table in this file: docs/faults.md")
        parser.add_argument("--here", action="store_true", help=SUPPRESS)

    def handle(self, *, here: bool, write: Path | None, **options: Any) -> None:
        """Run and print."""
        rows = [] if here else list(self._run_apart())
        if here:
            self._run_here()
        elif write is not None:
            write.write_text(drill.in_page(write.read_text(encoding="utf-8"), rows), encoding="utf-8")
        elif options["json"]:
            self.stdout.write(json.dumps({"drill": [asdict(row) for row in rows]}, indent=2, ensure_ascii=False))
        else:
            self.stdout.write(drill.as_markdown(rows))

    def _run_apart(self) -> Iterator[drill.Row]:
        """Run the matrix in a process whose database nobody else has, and yield its rows."""
        total = len(drill.cases())
        with tempfile.TemporaryDirectory(prefix="tasuki-drill-") as folder:
            command = [sys.executable, str(BASE_DIR / "manage.py"), "drill", "--here"]
            environment = drill.isolated(folder)
            with subprocess.Popen(command, env=environment, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True) as process:
                for number, line in enumerate(process.stdout or (), start=1):
                    row = drill.Row(**json.loads(line))
                    self.stderr.write(f"{number} of {total}: {row.error}, {row.when}")
                    yield row
            if process.returncode:
                raise CommandError("The drill did not come to its end.")

    def _run_here(self) -> None:
        if not drill.providers().keys() <= dict(settings.AI_PROVIDERS).keys():
            raise CommandError("Not on this database: run `manage.py drill` without --here.")
        call_command("migrate", verbosity=0)
        owner = User.objects.create_user("drill")
        try:
            for row in drill.run(owner):
                self.stdout.write(json.dumps(asdict(row), ensure_ascii=False))
                self.stdout.flush()
        finally:
            gateway.stop(5)
