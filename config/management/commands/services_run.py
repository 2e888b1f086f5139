"""The distributed shape on this machine: PostgreSQL, Redis, daphne, two workers and beat."""

import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.binaries import ServiceMissing
from config.stack import NotReady, Stack


class Command(BaseCommand):
    """`manage.py services_run`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a port and a number of workers."""
        parser.add_argument("--port", type=int, default=8000, help="port of the web server")
        parser.add_argument("--workers", type=int, default=2, help="number of worker processes")

    def handle(self, *, port: int, workers: int, **_: Any) -> None:
        """Run until told to stop."""
        told = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: told.set())
        stack = Stack(Path(settings.VAR_DIR) / "services", port=port, workers=workers, echo=self._echo)
        self._say(f"Starting PostgreSQL, Redis, daphne, {workers} workers and beat in {stack.folder} ...")
        try:
            stack.start()
            self._say(stack.manage("welcome", "--url", stack.url))
            self._watch(stack, told)
        except (ServiceMissing, NotReady) as error:
            raise CommandError(str(error)) from error
        finally:
            self._say("\nStopping ...")
            stack.stop()
        self._say("Stopped.")

    def _watch(self, stack: Stack, told: threading.Event) -> None:
        """Start again what ends by itself, until told to stop."""
        while not told.wait(1.0):
            for name, process in list(stack.processes.items()):
                if process.poll() is not None:
                    self._say(f"{name} ended with code {process.returncode}; starting it again.")
                    stack.spawn(name)

    def _echo(self, name: str, line: str) -> None:
        self._say(f"{name:9} | {line}")

    def _say(self, line: str) -> None:
        """Print a line at once, also into a file or a pipe."""
        self.stdout.write(line)
        self.stdout.flush()
