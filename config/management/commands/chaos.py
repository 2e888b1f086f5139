"""
Do to a whole installation what may befall it, and see that its promises hold (docs/chaos.md).

Two web processes, three workers, two beats, PostgreSQL, Redis and a provider over HTTP, all thrown away afterwards. The
seed gives the work and the order of the faults.
"""

import json
import random
import signal
import subprocess
import sys
from argparse import SUPPRESS, ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.chaos import controlling, evidence, installation, run
from config.local_services import die_with_parent, throw_away_folder
from config.stack import BASE_DIR


class Command(BaseCommand):
    """`manage.py chaos`."""

    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how much, how long, and where the evidence goes."""
        parser.add_argument("--seed", type=int, default=None, help="default: by chance; the evidence names it")
        parser.add_argument("--tasks", type=int, help="how many are submitted at least; default: 2,000, or 100,000")
        parser.add_argument("--seconds", type=float, help="over which time; default: 90, or half an hour")
        parser.add_argument("--soak", action="store_true", help="go on for that time, and look for leaks")
        parser.add_argument("--evidence", type=Path, metavar="FILE", help="write what was seen as JSON")
        parser.add_argument("--json", action="store_true", help="print that JSON, not the table")
        parser.add_argument("--controls", action="store_true", help="then break three guards, and see that it is seen")
        parser.add_argument("--here", action="store_true", help=SUPPRESS)

    def handle(self, *, here: bool, **options: Any) -> None:
        """Run, print, and end with an error where a promise did not hold."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        for name, (short, long) in {"tasks": (2_000, 100_000), "seconds": (90.0, 1_800.0)}.items():
            options[name] = options[name] or (long if options["soak"] else short)
        options["seed"] = random.randrange(10**6) if options["seed"] is None else options["seed"]  # noqa: S311
        told = self._run_here(options) if here else self._run_apart(options)
        if here:
            return
        if options["evidence"]:
            options["evidence"].write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        self.stdout.write(json.dumps(told, indent=2) if options["json"] else evidence.as_table(told))
        if told["broken"]:
            raise CommandError(f"{len(told['broken'])} promises did not hold; run again with --seed {told['seed']}.")

    def _run_apart(self, options: dict[str, Any]) -> dict[str, Any]:
        """Run in a process whose settings are the installation's, and return what it wrote."""
        with throw_away_folder("chaos") as folder:
            arguments = [f"--{name}={options[name]}" for name in ("seed", "tasks", "seconds")]
            arguments += [f"--{name}" for name in ("controls", "soak") if options[name]]
            slots = installation.MANY_SLOTS if options["soak"] else installation.FEW_SLOTS
            result = folder / "evidence.json"
            command = [sys.executable, str(BASE_DIR / "manage.py"), "chaos", "--here", *arguments]
            code = subprocess.call(
                [*command, f"--evidence={result}"],
                env=installation.environment(folder, slots),
                cwd=BASE_DIR,
                stdout=sys.stderr.fileno(),
                preexec_fn=die_with_parent,
            )
            if code or not result.exists():
                raise CommandError("The run did not come to its end.")
            return dict(json.loads(result.read_text(encoding="utf-8")))

    def _run_here(self, options: dict[str, Any]) -> dict[str, Any]:
        wanted = {name: options[name] for name in ("seed", "tasks", "seconds")}
        with installation.running(Path(settings.VAR_DIR), **wanted, soak=options["soak"]) as scene:
            scene.told = self._say
            verdict = run.run(scene, seed=options["seed"], seconds=options["seconds"] if options["soak"] else 0)
            told = evidence.of(verdict, wanted)
            if options["controls"]:
                told |= evidence.of_controls(told, controlling.control_all(scene, verdict.watch))
        options["evidence"].write_text(json.dumps(told), encoding="utf-8")
        return told

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
