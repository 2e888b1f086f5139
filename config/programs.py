"""The project's own programs as processes of their own, for benchmarks and whole-system tests."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config import local_services
from config.local_services import LOOPBACK, free_port
from config.stack import BASE_DIR, READY_SECONDS, NotReady, inherited


class Program:
    """One `manage.py` command that runs until it is stopped; its output goes to a file."""

    def __init__(self, folder: Path, name: str, *arguments: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
        self.environment = {**inherited(), "PYTHONUNBUFFERED": "1", **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def output(self) -> str:
        """Return what it printed since its last start."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def launch(self, is_ready: Callable[[], bool]) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=BASE_DIR,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=local_services.die_with_parent,
            )
        give_up_at = time.monotonic() + READY_SECONDS
        while not is_ready():
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                raise NotReady(f"{self.command[2]} did not come up:\n{self.output()[-3000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        """Tell it to stop and return its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            local_services.stop_within(self.process, 40)
        return int(self.process.returncode)


class Standalone(Program):
    """`manage.py standalone`, with what it prints."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ("standalone", "--port", str(self.port))
        super().__init__(folder, "standalone", *arguments, TASUKI_VAR=str(folder), **environment)

    def start(self) -> None:
        """Start it and wait until it takes requests."""
        self.launch(lambda: "Try it:" in self.output() and answers(f"{self.url}/readyz"))

    @property
    def api_key(self) -> str:
        """The key that it printed."""
        return printed_key(self.output())

    @property
    def login_link(self) -> str:
        """The link that it printed."""
        return printed_link(self.output())


class Simulator(Program):
    """`manage.py simulator`: a provider over HTTP that counts what it is asked."""

    def __init__(self, folder: Path, *, host: str = LOOPBACK, port: int = 0) -> None:
        self.host, self.port = host, port or free_port()
        self.base_url = f"http://{host}:{self.port}/v1"
        self.ledger = folder / "provider-ledger.jsonl"
        arguments = ("simulator", "--host", host, "--port", str(self.port), "--ledger", str(self.ledger))
        super().__init__(folder, "simulator", *arguments, TASUKI_VAR=str(folder))

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch(lambda: answers(f"http://{self.host}:{self.port}/healthz"))

    def lines(self) -> list[dict[str, Any]]:
        """Return the ledger: one line for each call that began, one for each that ended."""
        text = self.ledger.read_text(encoding="utf-8") if self.ledger.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def setting(self) -> str:
        """Return AI_PROVIDERS with this server as the provider `remote`."""
        return json.dumps({"remote": {"adapter": "openai", "base_url": self.base_url, "options": {"simulate": True}}})


def answers(url: str) -> bool:
    """Does somebody answer there with 200?"""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def printed_key(text: str) -> str:
    """Return the API key in a start's output."""
    found = re.search(r"API key\s+(tsk_\S+)", text)
    return found[1] if found else ""


def printed_link(text: str) -> str:
    """Return the login link in a start's output."""
    found = re.search(r"Login link\s+(\S+)", text)
    return found[1] if found else ""
