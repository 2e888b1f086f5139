"""An installation that something has happened in, and its REST API."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Locator

Rest = Callable[..., Any]
SIMULATED = {"latency_ms": 0, "tokens_per_second": 0}
ENDED_SECONDS = 30


class Finger:
    """Counts the taps."""

    def __init__(self) -> None:
        self.taps = 0

    def tap(self, what: Locator) -> None:
        """Tap, and count it."""
        what.click()
        self.taps += 1


def in_days(days: int) -> str:
    """Return the moment so many days from now."""
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


@pytest.fixture(scope="session")
def rest(standalone: Any) -> Rest:
    """Return a function that calls the REST API as the admin."""

    def call(method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {standalone.api_key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{standalone.url}/api/v1{path}", data, headers, method=method), timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    return call


@pytest.fixture(scope="session")
def task(rest: Rest) -> Callable[..., str]:
    """Return a function that makes a text task and returns its id."""

    def make(prompt: str = "Name a river.", *, simulate: dict[str, Any] | None = None, **wish: Any) -> str:
        given = {"prompt": prompt, "simulate": SIMULATED | (simulate or {})}
        made: str = rest(
            "POST", "/tasks", {"type": "text.generate", "input": given, "model": "simulator/sim-1"} | wish
        )["id"]
        return made

    return make


@pytest.fixture(scope="session")
def history(rest: Rest, task: Callable[..., str]) -> dict[str, str]:
    """Return the ids of a task of each fate: completed, failed, scheduled."""
    ids = {
        "completed": task(),
        "failed": task("Plan my secret holiday.", simulate={"fail": "bad_request"}),
        "scheduled": task(run_at=in_days(20)),
    }
    give_up_at = time.monotonic() + ENDED_SECONDS
    while {rest("GET", f"/tasks/{ids[name]}")["status"] for name in ("completed", "failed")} & {
        "pending",
        "processing",
    }:
        assert time.monotonic() < give_up_at, "The tasks did not end."
        time.sleep(0.1)
    return ids


@pytest.fixture
def finger() -> Finger:
    """Return an operator's finger."""
    return Finger()
