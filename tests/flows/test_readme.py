"""The README's commands, top to bottom, as written, in a fresh clone."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from config import local_services
from config.local_services import free_port
from config.programs import answers, printed_key
from config.settings import BASE_DIR
from config.stack import inherited
from tests.flows.client import eventually

pytestmark = pytest.mark.stack
ADDRESS = "127.0.0.1:8000"
SERVERS = ("make run", "make services-run")


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """Return the page's code blocks of these languages: (language, code)."""
    text = (BASE_DIR / page).read_text(encoding="utf-8")
    return re.findall(rf"^```({'|'.join(languages)})\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody who works through a page in a fresh clone: one server at a time, the rest while it runs."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "tasuki"
        subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{BASE_DIR}", self.clone], check=True)
        (self.clone / ".venv").symlink_to(Path(sys.prefix))
        for name in ("requirements.txt", "requirements-dev.txt", "requirements-otel.txt", "constraints.txt"):
            os.utime(self.clone / name, (0, 0))  # what they ask for is installed: make has nothing to bring
        self.port = free_port()
        self.environment = {**inherited(), "PORT": str(self.port), "TASUKI_VAR": str(folder / "var")}
        self.log = folder / "server.log"
        self.server: subprocess.Popen[bytes] | None = None

    def follow(self, command: str) -> str:
        """Do what the page says and return what it printed."""
        if command.strip() in SERVERS:
            self.stop()
            return self.serve(command)
        return self.run(["bash", "-euo", "pipefail", "-c", command.replace(ADDRESS, f"127.0.0.1:{self.port}")])

    def run(self, command: list[str]) -> str:
        """Run a command to its end, within a minute."""
        done = subprocess.run(
            command, cwd=self.clone, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, code: str) -> str:
        """Run Python code as it stands on the page, but for the port; httpx2 is what the tests have of httpx."""
        code = code.replace(ADDRESS, f"127.0.0.1:{self.port}")
        return self.run([sys.executable, "-c", code.replace("import httpx\n", "import httpx2 as httpx\n")])

    def serve(self, command: str) -> str:
        """Start a server, wait until it takes requests, and remember the key that it printed."""
        log: IO[bytes]
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.clone,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=local_services.die_with_parent,
            )
        eventually(lambda: self.ended() or "Try it:" in self.said(), "the server has started")
        assert not self.ended(), self.said()
        eventually(lambda: answers(f"http://127.0.0.1:{self.port}/readyz"), "it takes requests")
        self.environment["KEY"] = printed_key(self.said())
        return self.said()

    def ended(self) -> bool:
        """Is no server running?"""
        return self.server is None or self.server.poll() is not None

    def said(self) -> str:
        """Return what the server printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Press Ctrl-C, if a server runs; it must end well."""
        if self.server and not self.ended():
            os.killpg(self.server.pid, signal.SIGINT)
            self.server.wait(timeout=60)
            assert self.said().rstrip().endswith("Stopped."), self.said()


@pytest.fixture
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Someone who has cloned the repository."""
    folder = tmp_path_factory.mktemp("readme")
    folder.chmod(0o711)
    one = Reader(folder)
    yield one
    one.stop()


def test_both_languages_have_the_same_commands() -> None:
    assert blocks("README.md", "sh", "python") == blocks("README.ja.md", "sh", "python")


def test_the_readme_works_as_written(reader: Reader) -> None:
    commands = [code for _, code in blocks("README.md", "sh")]
    first_snippet, client = blocks("README.md", "python")[0][1], blocks("docs/api.md", "python")[0][1]

    said = {}
    for command in commands:
        if command.strip() == SERVERS[1]:
            said["sdk"], said["httpx"] = reader.python(first_snippet), reader.python(client)
        said[command.split()[0] + " " + command.split()[1]] = reader.follow(command)

    assert "Login link" in said["make run"]
    assert '"status": "completed"' in said["curl -s"].replace('":"', '": "')
    assert said["sdk"].startswith("resp_")
    assert re.search(r"\S+\ncompleted, 0\.\d+ USD\n$", said["httpx"])
    assert "tasks. See /admin/ops/" in said[".venv/bin/python manage.py"]
