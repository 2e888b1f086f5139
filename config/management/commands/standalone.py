"""Everything in one process, without services: web server, Celery worker and beat, on SQLite."""

import fcntl
import signal
import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, TextIO

from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from twisted.internet import reactor

from ai_tasks import clock, sweeps
from config.asgi import application
from config.celery import app
from config.embedded import Embedded
from config.welcome import welcome
from providers import control


class Command(BaseCommand):
    """`manage.py standalone`."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take an address to listen on."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on")

    def handle(self, *, host: str, port: int, **_: Any) -> None:
        """Run until told to stop."""
        if not settings.EMBEDDED:
            raise CommandError("standalone is for an installation without DATABASE_URL and REDIS_URL; unset them.")
        only_one = self._lock(Path(settings.VAR_DIR) / "standalone.lock")
        self._check_port(host, port)
        call_command("migrate", verbosity=0, interactive=False)
        now = clock.now()
        control.ensure_providers(now)
        if rescued := sweeps.rescue_from_dead_processes(now):
            self.stdout.write(f"Took up {rescued} tasks that the last run left behind.")
        engine = Embedded(app)
        engine.start()
        server = Server(
            application,
            endpoints=build_endpoint_description_strings(host=host, port=port),
            ready_callable=lambda: self._welcome(f"http://{host}:{port}"),
            http_timeout=None,
            server_name="tasuki",
            websocket_max_message_size=1 << 20,
            verbosity=0,
            signal_handlers=False,
        )
        self._stop_on_signal(server)
        try:
            server.run()
        finally:
            self.stdout.write("\nStopping: running tasks get a moment to end ...")
            engine.stop()
            only_one.close()
        self.stdout.write("Stopped.")

    def _stop_on_signal(self, server: Server) -> None:
        """Stop in order on the first SIGINT or SIGTERM, at once on the second: nothing accepted is lost either way."""

        def stop(number: int, _: Any) -> None:
            signal.signal(number, signal.SIG_DFL)
            reactor.callFromThread(server.stop)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)

    def _lock(self, path: Path) -> TextIO:
        """Hold the data folder for this process: rescue at start must know that nobody else is alive."""
        handle = path.open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(f"Another Tasuki already runs on {path.parent}; stop it, or set TASUKI_VAR.") from error
        return handle

    def _check_port(self, host: str, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                raise CommandError(f"Cannot listen on {host}:{port} ({error}). Try PORT=8001 make run.") from error

    def _welcome(self, url: str) -> None:
        self.stdout.write(welcome(url))
        self.stdout.flush()
