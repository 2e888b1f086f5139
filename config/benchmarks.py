"""Measurements of whole installations, each on throw-away processes and data of its own."""

import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config.local_services import free_port
from config.programs import Simulator, Standalone, printed_key
from config.stack import Stack

WARM_UP = 10
TASK = {
    "type": "text.generate",
    "model": "remote/sim-1",
    "input": {"prompt": "latency", "max_output_tokens": 16, "simulate": {"latency_ms": 0, "tokens_per_second": 0}},
}


@contextmanager
def installation(shape: str, folder: Path, simulator: Simulator) -> Iterator[tuple[str, str]]:
    """Run an installation of that shape with the simulator as its provider; yield its URL and an API key."""
    if shape == "embedded":
        server = Standalone(folder, AI_PROVIDERS=simulator.setting())
        try:
            server.start()
            yield server.url, server.api_key
        finally:
            server.stop()
        return
    stack = Stack(folder, port=free_port(), AI_PROVIDERS=simulator.setting())
    try:
        stack.start()
        yield stack.url, printed_key(stack.manage("welcome", "--url", stack.url))
    finally:
        stack.stop()


def post(url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST a task and return the answer."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1/tasks", json.dumps(body).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def latency(shape: str, *, count: int, interval_seconds: float) -> dict[str, Any]:
    """
    Measure, on an idle installation, the time from sending a POST to the provider's receipt of the call.

    Both ends are wall-clock times of this machine: ours before the request leaves, the provider's when it has read its
    request. Returns milliseconds: p50, p90, p99, max, and how many were measured.
    """
    with tempfile.TemporaryDirectory(prefix="tasuki-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        simulator = Simulator(folder / "provider")
        simulator.start()
        try:
            with installation(shape, folder / shape, simulator) as (url, key):
                sent = dict(_send(url, key, WARM_UP + count, interval_seconds))
                called = _wait_for_calls(simulator, len(sent))
        finally:
            simulator.stop()
    waits = [1000 * (called[task_id] - at) for task_id, at in list(sent.items())[WARM_UP:]]
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    figures = {"p50_ms": cuts[49], "p90_ms": cuts[89], "p99_ms": cuts[98], "max_ms": max(waits)}
    return {"shape": shape, "tasks": len(waits), **{label: round(value, 1) for label, value in figures.items()}}


def _send(url: str, key: str, count: int, interval_seconds: float) -> Iterator[tuple[str, float]]:
    for _ in range(count):
        at = time.time()
        yield post(url, key, TASK)["id"], at
        time.sleep(max(0.0, interval_seconds - (time.time() - at)))


def _wait_for_calls(simulator: Simulator, count: int) -> dict[str, float]:
    give_up_at = time.monotonic() + 60
    called: dict[str, float] = {}
    while len(called) < count:
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Only {len(called)} of {count} calls reached the provider within a minute.")
        time.sleep(0.1)
        began = (line for line in simulator.lines() if line["event"] == "began")
        called = {line["request_id"].split(".")[0]: line["started_at"] for line in began}
    return called
