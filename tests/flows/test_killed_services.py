"""The distributed shape under faults: workers are killed, Redis restarts; nothing is lost or paid twice."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from config.local_services import free_port, throw_away_folder
from config.programs import Simulator, printed_key
from config.stack import Stack
from tests.flows.client import STUCK_AT_FIRST, Api, eventually

pytestmark = pytest.mark.stack

TASKS = 200
FEW = 40
SLOW = {"output_tokens": 30, "tokens_per_second": 6}
"""An answer of five seconds."""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A provider behind a real socket, with a ledger of its own."""
    simulator = Simulator(tmp_path_factory.mktemp("provider"))
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def stack(provider: Simulator) -> Iterator[Stack]:
    """PostgreSQL, Redis, daphne, two workers and beat; leases are short, so that the test need not wait for long."""
    settings = {
        "AI_LEASE_SECONDS": "6",
        "AI_LOST_CHARGE_GRACE_SECONDS": "1",
        "AI_WORKER_THREADS": str(TASKS // 2),
        "AI_PROVIDERS": provider.setting(),
    }
    with throw_away_folder("stack") as folder:
        running = Stack(folder, port=free_port(), is_durable=False, **settings)
        try:
            running.start()
            eventually(lambda: ask(running, "SELECT count(*) FROM ai_tasks_workerprocess") == 2, "both workers joined")
            with psycopg.connect(running.postgres.url()) as connection:
                connection.execute("UPDATE providers_providerlimit SET max_concurrency = NULL")
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def api(stack: Stack) -> Api:
    """Return a client with a key of the installation."""
    return Api(stack.url, printed_key(stack.manage("welcome", "--url", stack.url)))


def ask(stack: Stack, query: str) -> Any:
    """Return the first column of the first row of a query to the installation's database."""
    with psycopg.connect(stack.postgres.url()) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


RUNNING = "SELECT count(*) FROM queueing_queueentry WHERE state = 'running'"
ACTIVE = "SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status IN ('pending', 'processing')"
COMPLETED = "SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status = 'completed'"
FINISHES = "SELECT count(DISTINCT task_id) - count(*) FROM ai_tasks_attempt WHERE state = 'succeeded'"
STARTED_LESS_CHARGES = """SELECT (SELECT count(*) FROM ai_tasks_attempt WHERE started_at IS NOT NULL)
    - (SELECT count(*) FROM ai_tasks_ledgerentry WHERE kind = 'charge')"""
LOST = "SELECT count(*) FROM ai_tasks_attempt WHERE state = 'lost'"


def test_killed_workers_lose_nothing(stack: Stack, api: Api, provider: Simulator) -> None:
    before = ask(stack, COMPLETED)
    api.submit_many(TASKS, model="remote/sim-1", **STUCK_AT_FIRST)
    eventually(lambda: ask(stack, RUNNING) == TASKS, "all run")

    for name in ("worker-1", "worker-2"):
        stack.kill(name)
        stack.spawn(name)

    eventually(lambda: ask(stack, ACTIVE) == 0, "nothing is left to do", seconds=120)
    assert ask(stack, COMPLETED) == before + TASKS
    assert ask(stack, LOST) == TASKS
    assert ask(stack, FINISHES) == 0
    eventually(lambda: ask(stack, STARTED_LESS_CHARGES) == 0, "each started attempt has its one charge")
    asked = [line["request_id"] for line in provider.lines() if line["event"] == "began"]
    assert len(asked) == len(set(asked)), "no attempt called the provider twice"


def test_workers_live_through_a_restart_of_redis(stack: Stack, api: Api) -> None:
    before = ask(stack, COMPLETED)
    api.submit_many(FEW, model="remote/sim-1", **SLOW)
    eventually(lambda: ask(stack, RUNNING) >= 8, "several run")

    stack.redis.stop()
    accepted = [api.submit("while Redis is away", model="remote/sim-1")["id"] for _ in range(5)]
    stack.redis.start()

    eventually(lambda: ask(stack, ACTIVE) == 0, "nothing is left to do", seconds=120)
    assert ask(stack, COMPLETED) == before + FEW + len(accepted)
    assert ask(stack, FINISHES) == 0
    assert all(process.poll() is None for process in stack.processes.values()), "every process lived on"


def test_a_provider_that_is_down_makes_tasks_wait_and_say_why(stack: Stack, api: Api, provider: Simulator) -> None:
    provider.kill()
    task = api.submit("Is anybody there?", model="remote/sim-1")
    eventually(lambda: _reason(api, task["id"]) == "circuit_open", "it says that the circuit is open", seconds=30)

    late = api.submit("And now?", model="remote/sim-1")

    assert late["waiting"]["reason"] == "circuit_open"
    assert late["waiting"]["until"]
    provider.start()
    eventually(lambda: api.task(task["id"])["status"] == "completed", "it recovers by itself", seconds=60)
    eventually(lambda: api.task(late["id"])["status"] == "completed", "and the other too")


def _reason(api: Api, task_id: str) -> str:
    return (api.task(task_id)["waiting"] or {}).get("reason", "")
