"""
Real PostgreSQL and Redis on this machine, on ports and folders of their own, beside whatever runs already.

Started programs die with us, even when we are killed.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psycopg

from config.binaries import POSTGRES, REDIS, ServiceMissing, find, is_open_to_all, is_root

NOBODY = 65534
"""PostgreSQL refuses to run as root; it then runs as this user."""
LOOPBACK = "127.0.0.1"
READY_SECONDS = 60.0
PR_SET_PDEATHSIG = 1
PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
"""Only Linux has it."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def die_with_parent() -> None:
    """Ask Linux to end this process when the one that started it ends; for `preexec_fn`."""
    if PRCTL:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command: list[str], *, log: Path, as_nobody: bool = False, **environment: str) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, its output in `log`, bound to our life."""
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody else {}
    with log.open("ab") as output:
        return subprocess.Popen(  # type: ignore[call-overload]
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_parent,
            env={**os.environ, **environment},
            **identity,
        )


def wait_until(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the program answers; raises with the end of its log when it ends or does not."""
    give_up_at = time.monotonic() + READY_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise ServiceMissing(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a program's process group; by force after ten seconds."""
    if process.poll() is None:
        os.killpg(process.pid, number)
        stop_within(process, 10)


def stop_within(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for the end of a program that was told to stop; end its process group by force after that time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass
class Redis:
    """One Redis server."""

    folder: Path
    host: str = LOOPBACK
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers. It keeps nothing: it is broker and channel layer only."""
        self.folder.mkdir(parents=True, exist_ok=True)
        binary = find(REDIS)
        log = self.folder / "redis.log"
        command = [str(binary), "--port", str(self.port), "--bind", self.host, "--save", "", "--appendonly", "no"]
        # Who can reach that address may use it: by itself, Redis would take nobody from other hosts.
        self.process = start([*command, "--protected-mode", "no", "--dir", str(self.folder)], log=log)
        wait_until(self._answers, self.process, log)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def flush(self) -> None:
        """Empty it."""
        with socket.create_connection((self.host, self.port), timeout=10) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            connection.recv(16)

    def stop(self) -> None:
        """Stop it."""
        if self.process:
            stop(self.process)


@dataclass
class Postgres:
    """One PostgreSQL cluster."""

    folder: Path
    is_durable: bool = True
    """False: without fsync, for tests."""
    host: str = LOOPBACK
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "tasuki") -> str:
        """The address of one of its databases."""
        return f"postgres://tasuki@{self.host}:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster when it is new, start it, wait until it answers, and make the database."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if is_root():
            os.chown(self.folder, NOBODY, NOBODY)
        binary = find(POSTGRES)
        data, log = self.folder / "data", self.folder / "postgres.log"
        if not (data / "PG_VERSION").exists():
            make = [str(binary.parent / "initdb"), "-N", "-U", "tasuki", "-A", "trust", "-E", "UTF8", "--locale=C"]
            wait_for = start([*make, "-D", str(data)], log=log, as_nobody=is_root())
            if wait_for.wait():
                raise ServiceMissing(f"initdb failed:\n{log.read_text(errors='replace')[-2000:]}")
            if self.host != LOOPBACK:
                with (data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
                    rules.write("host all all samenet trust\n")
        self.process = start([str(binary), "-D", str(data), *self._settings()], log=log, as_nobody=is_root())
        wait_until(self._answers, self.process, log)
        self.make_database("tasuki")

    def _settings(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "128MB",
            "track_commit_timestamp": "on",
        }
        if not self.is_durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def make_database(self, name: str) -> None:
        """Make a database where it is missing."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(f'CREATE DATABASE "{name}"')

    def stop(self) -> None:
        """Stop it in the fast way: open transactions are rolled back."""
        if self.process:
            stop(self.process, signal.SIGINT)


def folder_for_services(wanted: Path) -> Path:
    """
    Return a folder that the services can reach: `wanted`, or one in /var/tmp where PostgreSQL's user cannot go.

    Raises ServiceMissing when somebody else made the latter.
    """
    wanted.mkdir(parents=True, exist_ok=True)
    if not is_root() or is_open_to_all(wanted):
        return wanted
    digest = sha256(str(wanted).encode()).hexdigest()[:12]
    elsewhere = Path("/var/tmp") / f"tasuki-{digest}"  # noqa: S108
    elsewhere.mkdir(mode=0o711, exist_ok=True)
    if elsewhere.is_symlink() or elsewhere.stat().st_uid != os.geteuid():
        raise ServiceMissing(f"{elsewhere} belongs to another user; remove it.")
    elsewhere.chmod(0o711)
    return elsewhere


@contextmanager
def throw_away_folder(name: str) -> Iterator[Path]:
    """Make a folder that the services can reach, and remove it with all that is in it."""
    folder = Path(tempfile.mkdtemp(prefix=f"tasuki-{name}-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hold(folder: Path) -> int:
    """
    Lock a folder for as long as this process lives or the returned descriptor is open.

    Raises ServiceMissing when another process holds it: two servers on the same data would destroy it.
    """
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ServiceMissing(f"{folder} is in use: another `make services-run` is running.") from None
    return lock
