"""Four workers and the limits of three providers, measured by the provider, in every window of its own minute."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from config.local_services import free_port, throw_away_folder
from config.programs import Simulator
from config.stack import Stack
from tests.flows.client import Api, eventually

pytestmark = [pytest.mark.scale, pytest.mark.stack]

CONCURRENCY, REQUESTS, TOKENS = 7, 120, 60_000
BOUNDS = {
    "slots": ("max_concurrency", CONCURRENCY),
    "rpm": ("requests_per_minute", REQUESTS),
    "tpm": ("tokens_per_minute", TOKENS),
}
MINUTE = 60.0
UTILISATION = 0.9
CALL_SECONDS = 2.0
ANSWER_TOKENS = 950


@dataclass(frozen=True)
class Called:
    """One call as the provider saw it."""

    started_at: float
    ended_at: float
    tokens: int


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One server that stands behind three providers."""
    simulator = Simulator(tmp_path_factory.mktemp("provider"))
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def stack(provider: Simulator) -> Iterator[Stack]:
    """Four workers; a provider bounded by calls in flight, one by requests, one by tokens."""
    (one,) = json.loads(provider.setting()).values()
    settings = {"AI_WORKER_THREADS": "40", "AI_PROVIDERS": json.dumps(dict.fromkeys(BOUNDS, one))}
    with throw_away_folder("stack") as folder:
        running = Stack(folder, port=free_port(), workers=4, is_durable=False, **settings)
        try:
            running.start()
            bound(running.postgres.url())
            yield running
        finally:
            running.stop()


def bound(database_url: str) -> None:
    """Bound each provider as soon as a worker has made its rows."""

    def rows() -> int:
        return connection.execute("UPDATE providers_providerlimit SET max_concurrency = NULL").rowcount

    with psycopg.connect(database_url, autocommit=True) as connection:
        eventually(lambda: rows() >= len(BOUNDS), "the providers' rows")
        for provider, (column, value) in BOUNDS.items():
            connection.execute(
                f"UPDATE providers_providerlimit SET {column} = %s WHERE provider_id = %s", [value, provider]
            )


def calls_of(provider: Simulator, model: str) -> list[Called]:
    """Return the calls for a model that have ended, in the order of their start."""
    ended = [line for line in provider.lines() if line["event"] == "ended" and line["model"] == model]
    calls = [
        Called(line["started_at"], line["ended_at"], line["input_tokens"] + line["output_tokens"]) for line in ended
    ]
    return sorted(calls, key=lambda call: call.started_at)


def task(model: str, simulate: dict[str, Any], max_output_tokens: int, priority: str) -> dict[str, Any]:
    """Return what creates a task."""
    wish = {"prompt": "a river", "max_output_tokens": max_output_tokens, "simulate": simulate}
    return {"type": "text.generate", "model": model, "priority": priority, "input": wish}


def most_in_a_minute(calls: list[Called], weights: list[int]) -> int:
    """Return the most that any 60 seconds have seen."""
    most = total = first = 0
    for place, call in enumerate(calls):
        total += weights[place]
        while call.started_at - calls[first].started_at >= MINUTE:
            total -= weights[first]
            first += 1
        most = max(most, total)
    return most


def most_at_once(calls: list[Called]) -> int:
    """Return the most calls that were in flight together."""
    events = sorted([(call.started_at, 1) for call in calls] + [(call.ended_at, -1) for call in calls])
    most = running = 0
    for _, change in events:
        running += change
        most = max(most, running)
    return most


def test_no_window_exceeds_a_limit_and_each_is_used(stack: Stack, provider: Simulator) -> None:
    stack.manage("welcome", "--url", stack.url)
    key = stack.manage("createapikey", "admin", "--priority-ceiling", "urgent").split()[-1]
    api = Api(stack.url, key)
    quick: dict[str, Any] = {"latency_ms": 0, "tokens_per_second": 0, "output_tokens": 5}
    long: dict[str, Any] = quick | {"output_tokens": ANSWER_TOKENS}
    slow: dict[str, Any] = {"latency_ms": 1_000 * CALL_SECONDS, "tokens_per_second": 0, "output_tokens": 5}
    bulk = {
        # The last slot is kept for urgent work: with any other, one less would be used.
        "slots": [("slots/a", slow, 16, "urgent")] * 300,
        "rpm": [("rpm/b", quick, 16, "normal")] * (2 * REQUESTS + 30),
        "tpm": [("tpm/c", long, ANSWER_TOKENS, "normal")] * 160,
    }
    for wishes in bulk.values():
        status, told = api.call("POST", "/tasks/bulk", {"tasks": [task(*wish) for wish in wishes]})
        assert status == 202, told

    eventually(lambda: len(calls_of(provider, "b")) > 2 * REQUESTS, "two minutes of requests", seconds=200)
    slots, rpm, tpm = (calls_of(provider, model) for model in ("a", "b", "c"))

    assert most_at_once(slots) == CONCURRENCY
    span = max(call.ended_at for call in slots[:200]) - slots[0].started_at
    busy = sum(call.ended_at - call.started_at for call in slots[:200])
    assert busy / (CONCURRENCY * span) >= UTILISATION

    ones = [1] * len(rpm)
    assert most_in_a_minute(rpm, ones) <= REQUESTS
    minutes = (rpm[2 * REQUESTS].started_at - rpm[0].started_at) / MINUTE
    assert 2 * REQUESTS / minutes >= UTILISATION * REQUESTS

    tokens = [call.tokens for call in tpm]
    assert most_in_a_minute(tpm, tokens) <= TOKENS
    assert most_in_a_minute(tpm, tokens) >= UTILISATION * TOKENS
