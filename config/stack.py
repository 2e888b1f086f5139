"""The distributed shape on one machine: PostgreSQL, Redis, daphne, workers and beat, each a process of its own."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from config import local_services
from config.local_services import Postgres, Redis, free_port

BASE_DIR = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
STOP_SECONDS = 30.0

SERVICE_VARIABLES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")

Echo = Callable[[str, str], None]


def inherited() -> dict[str, str]:
    """Return our environment without what would lead another process to our own services and settings."""
    return {name: value for name, value in os.environ.items() if name not in SERVICE_VARIABLES}


def _name(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}-{number}"


class NotReady(Exception):
    """A process of the stack did not come up."""


class Service(Protocol):
    """Something that runs beside PostgreSQL and Redis."""

    @property
    def environment(self) -> dict[str, str]:
        """What tells the processes of it."""

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """Stop it."""


class Stack:
    """Starts, kills and restarts the processes by name: `web`, `web-2`, ..., `worker-1`, ..., `beat`, ..."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        workers: int = 2,
        webs: int = 1,
        beats: int = 1,
        is_durable: bool = True,
        echo: Echo | None = None,
        **environment: str,
    ) -> None:
        self.folder = local_services.folder_for_services(folder)
        self.ports = {_name("web", number): port if number == 1 else free_port() for number in range(1, webs + 1)}
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        self.url = self.urls["web"]
        self.names = [*self.ports, *(f"worker-{number + 1}" for number in range(workers))]
        self.names += [_name("beat", number) for number in range(1, beats + 1)]
        self.postgres = Postgres(self.folder / "postgres", is_durable=is_durable)
        self.redis = Redis(self.folder / "redis")
        self.beside: list[Service] = []
        """Started after those two, stopped before them."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._echo = echo or (lambda _name, _line: None)
        self._extra = environment
        self._lock: int | None = None
        self.code = BASE_DIR
        """Where the sources are that processes and commands are started from."""
        self.through: list[str] = []
        """A module, with its arguments, that is to start the processes' own."""
        self.launchers: dict[str, list[str]] = {}
        """Commands that are to start a process, by its name: on another host, say."""
        self.commands: dict[str, list[str]] = {}
        """Modules, with their arguments, that are to run instead of ours, by process."""

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the stack has in its environment."""
        return {
            **inherited(),
            "DATABASE_URL": self.postgres.url(),
            "REDIS_URL": self.redis.url,
            "SECRET_KEY": self._secret_key(),
            "TASUKI_VAR": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
            **self._extra,
            **{name: value for service in self.beside for name, value in service.environment.items()},
        }

    def _secret_key(self) -> str:
        path = self.folder / "secret_key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(50), encoding="utf-8")
        return path.read_text(encoding="utf-8")

    def start(self) -> None:
        """Start everything, in order, and return when the web server is ready."""
        self.start_services()
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--no-input", "--verbosity", "0")
        for name in self.names:
            self.spawn(name)
        self.wait_until_ready()

    def start_services(self) -> None:
        """Start PostgreSQL, Redis and what stands beside them alone."""
        self._lock = local_services.hold(self.folder)
        self.postgres.start()
        self.redis.start()
        for service in self.beside:
            service.start()

    def manage(self, *arguments: str) -> str:
        """Run a manage.py command in the stack's environment and return what it prints."""
        command = [sys.executable, str(self.code / "manage.py"), *arguments]
        done = subprocess.run(command, env=self.environment, cwd=self.code, check=False, capture_output=True, text=True)
        if done.returncode:
            raise NotReady(f"manage.py {arguments[0]} failed:\n{done.stderr[-3000:]}")
        return done.stdout

    def _command(self, name: str) -> list[str]:
        celery = ["celery", "-q", "-A", "config"]
        worker = ["worker", "--without-gossip", "--without-mingle", "-l", "WARNING", "-n", f"{name}@%h"]
        match name.split("-")[0]:
            case "web":
                at = urlsplit(self.urls[name])
                return ["daphne", "-v", "0", "-b", str(at.hostname), "-p", str(at.port), "config.asgi:application"]
            case "worker":
                return [*celery, *worker]
            case _:
                return [*celery, "beat", "-l", "WARNING", "--pidfile="]

    def spawn(self, name: str, **environment: str) -> None:
        """Start the process of that name, with these in its environment too."""
        process = subprocess.Popen(
            [
                *self.launchers.get(name, []),
                sys.executable,
                "-m",
                *self.through,
                *(self.commands.get(name) or self._command(name)),
            ],
            env={**self.environment, **environment},
            cwd=self.code,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=local_services.die_with_parent,
        )
        self.processes[name] = process
        threading.Thread(target=self._pump, args=(name, process), name=f"log-{name}", daemon=True).start()

    def _pump(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Pass the process's output on, and keep it in a file."""
        if process.stdout is None:
            return
        with process.stdout, (self.folder / f"{name}.log").open("ab") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                self._echo(name, line.decode("utf-8", "replace").rstrip())

    def wait_until_ready(self) -> None:
        """Wait until each web server says that its database, broker and channel layer are there."""
        give_up_at = time.monotonic() + READY_SECONDS
        while not all(map(self._is_ready, self.urls.values())):
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > give_up_at:
                logs = "\n".join((self.folder / f"{name}.log").read_text(errors="replace")[-3000:] for name in dead)
                raise NotReady(f"The stack did not come up ({', '.join(dead) or 'time'}):\n{logs}")
            time.sleep(0.05)

    def _is_ready(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=3) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a process a signal and wait for its end."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Stop everything, in order: nothing is left running."""
        for name in sorted(self.processes, key=lambda name: ("beat", "worker", "web").index(name.split("-")[0])):
            self.processes[name].send_signal(signal.SIGTERM)
        for process in self.processes.values():
            local_services.stop_within(process, STOP_SECONDS)
        self.processes.clear()
        for service in self.beside:
            service.stop()
        self.redis.stop()
        self.postgres.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
