"""The command `simulator`."""

import asyncio
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from providers.adapters import simulator_http


class Command(BaseCommand):
    """Serve the simulated provider over HTTP."""

    help = "Serve the simulated provider over HTTP, in OpenAI's wire format, until it is stopped."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the address and the ledger's path."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=9009, help="port to listen on; 0 takes a free one")
        parser.add_argument("--ledger", type=Path, help="file that gets a JSON line for each call's begin and end")

    def handle(self, *_: Any, host: str, port: int, ledger: Path | None, **__: Any) -> None:
        """Serve until SIGTERM or SIGINT."""
        try:
            asyncio.run(simulator_http.serve(host, port, ledger, self._say_ready))
        except (OSError, OverflowError) as error:
            raise CommandError(f"The simulator cannot start: {error}") from error

    def _say_ready(self, url: str) -> None:
        self.stdout.write(f"Simulator ready at {url}/v1")
        self.stdout.flush()
