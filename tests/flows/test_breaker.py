"""The breaker over four worker processes, measured at the provider."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from config.local_services import free_port, throw_away_folder
from config.programs import Simulator, printed_key
from config.stack import Stack
from tests.flows.client import Api, eventually

pytestmark = [pytest.mark.stack, pytest.mark.scale]

TASKS = 24
FAILS_TWICE: dict[str, Any] = {"fail": "unavailable", "fail_times": 2, "latency_ms": 100}
ON_ITS_WAY = timedelta(milliseconds=500)
"""A call that passed the last gate just before the circuit opened may begin so much later."""
REST_SECONDS = 2
SET_RULE = f"""
from providers import control
control.set_rule("remote", first_open_seconds={REST_SECONDS}, longest_open_seconds={REST_SECONDS})
"""
MOVES = "SELECT to_state, created_at FROM providers_circuittransition WHERE provider_id = 'remote' ORDER BY id"
STARTED = """SELECT task_id::text || '.' || epoch, started_at, is_probe FROM ai_tasks_attempt
    WHERE started_at IS NOT NULL"""
LIVE = "SELECT count(*) FROM queueing_queueentry"

Rows = Callable[[str], list[Any]]


class Window(NamedTuple):
    """A time in which the circuit did not change."""

    state: str
    began: datetime
    ended: datetime


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Simulator]:
    """A provider behind a real socket, which keeps its own books."""
    simulator = Simulator(tmp_path / "provider")
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def stack(provider: Simulator) -> Iterator[Stack]:
    """PostgreSQL, Redis, daphne, four workers and beat; a circuit rests two seconds at most."""
    with throw_away_folder("breaker") as folder:
        running = Stack(folder, port=free_port(), workers=4, is_durable=False, AI_PROVIDERS=provider.setting())
        try:
            running.start()
            eventually(lambda: rows_of(running)("SELECT count(*) FROM ai_tasks_workerprocess") == [(4,)], "all joined")
            running.manage("shell", "-v", "0", "-c", SET_RULE)
            yield running
        finally:
            running.stop()


@pytest.fixture
def api(stack: Stack) -> Api:
    """Return a client with an operator's key."""
    return Api(stack.url, printed_key(stack.manage("welcome", "--url", stack.url)))


def rows_of(stack: Stack) -> Rows:
    """Return a function that asks the stack's database."""

    def rows(query: str) -> list[Any]:
        with psycopg.connect(stack.postgres.url()) as connection:
            return connection.execute(query).fetchall()

    return rows


def windows(rows: Rows) -> list[Window]:
    """Return the times between the circuit's moves; the last ends with the last."""
    moves = rows(MOVES)
    return [Window(state, at, then) for (state, at), (_, then) in pairwise(moves)]


def calls(provider: Simulator) -> set[str]:
    """Return our ids of the calls that the provider has seen."""
    return {line["request_id"] for line in provider.lines() if line["event"] == "began"}


def set_circuit(api: Api, mode: str) -> Any:
    status, body = api.call("POST", "/providers/remote/circuit", {"mode": mode})
    assert status == 200, body
    return body


def test_each_half_open_window_has_one_probe_and_it_recovers_by_itself(
    stack: Stack, api: Api, provider: Simulator
) -> None:
    rows = rows_of(stack)

    accepted = api.submit_many(TASKS, model="remote/sim-1", **FAILS_TWICE)

    eventually(lambda: rows(LIVE) == [(0,)], "all are done, and nobody helped", seconds=180)
    assert {api.task(task_id)["status"] for task_id in accepted} == {"completed"}
    assert rows(MOVES)[-1][0] == "closed"
    seen, started = calls(provider), rows(STARTED)
    half_open = [window for window in windows(rows) if window.state == "half_open"]
    assert half_open, "it was tried"
    for window in half_open:
        within = [call for call, at, _ in started if window.began <= at < window.ended]
        assert len(within) == 1, (window, within)
        assert within[0] in seen
    for window in (each for each in windows(rows) if each.state == "open"):
        assert [call for call, at, _ in started if window.began + ON_ITS_WAY <= at < window.ended] == []
        assert window.ended - window.began >= timedelta(seconds=REST_SECONDS)
    probes = [call for call, _, is_probe in started if is_probe]
    assert len(probes) == len(half_open)
    assert set(probes) <= seen


def test_a_circuit_that_was_forced_stays_so(stack: Stack, api: Api, provider: Simulator) -> None:
    rows = rows_of(stack)
    assert set_circuit(api, "forced_open")["state"] == "circuit_open"
    waiting = api.submit_many(8, model="remote/sim-1")

    elsewhere = api.submit_many(40, model="simulator/sim-1")
    eventually(lambda: all(api.task(each)["status"] == "completed" for each in elsewhere), "others go on")

    assert calls(provider) == set()
    assert {api.task(each)["waiting"]["reason"] for each in waiting} == {"circuit_open"}
    set_circuit(api, "forced_closed")
    eventually(lambda: rows(LIVE) == [(0,)], "what waited goes on at once")
    failing = api.submit_many(8, model="remote/sim-1", **FAILS_TWICE)
    eventually(lambda: all(api.task(each)["status"] == "completed" for each in failing), "tried until they passed")
    assert [state for state, _ in rows(MOVES)] == ["open", "closed"]
    set_circuit(api, "auto")
    api.submit_many(8, model="remote/sim-1", **FAILS_TWICE)
    eventually(lambda: rows(LIVE) == [(0,)], "it opens, is tried, and closes again")
    assert [state for state, _ in rows(MOVES)][2:4] == ["open", "half_open"]
