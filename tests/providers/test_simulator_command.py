"""`manage.py simulator`, as a process of its own."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.stack import inherited

ROOT = Path(__file__).parents[2]


@pytest.fixture
def process(tmp_path: Path, ledger_path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-W", "error", "manage.py", "simulator", "--port", "0", "--ledger", str(ledger_path)]
    environment = {**inherited(), "TASUKI_VAR": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found
    return found.group()


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), {"X-Request-Id": "0197.1"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_keeps_its_books_and_ends_cleanly(
    process: "subprocess.Popen[str]", ledger_path: Path, number: signal.Signals
) -> None:
    url = url_of(process)
    messages = [{"role": "user", "content": "Good morning"}]

    answer = post(url, {"model": "sim-1", "messages": messages, "simulate": {"output_tokens": 9}})
    began, ended = (json.loads(line) for line in ledger_path.read_text().splitlines())
    process.send_signal(number)

    assert process.wait(60) == 0
    assert process.stderr
    assert process.stderr.read() == ""
    assert (began["event"], began["request_id"], began["model"]) == ("began", "0197.1", "sim-1")
    assert (ended["event"], ended["outcome"], ended["call_id"]) == ("ended", "completed", began["call_id"])
    assert (ended["input_tokens"], ended["output_tokens"]) == (answer["usage"]["prompt_tokens"], 9)
    assert ended["ended_monotonic"] > ended["started_monotonic"]
    assert ended["ended_at"] > ended["started_at"]


def test_it_says_so_when_the_port_is_taken(process: "subprocess.Popen[str]", tmp_path: Path) -> None:
    port = url_of(process).split(":")[2].split("/")[0]
    command = [sys.executable, "manage.py", "simulator", "--port", port]
    environment = {**inherited(), "TASUKI_VAR": str(tmp_path)}

    second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20, check=False)

    assert second.returncode == 1
    assert "The simulator cannot start" in second.stderr
    assert "Traceback" not in second.stderr
