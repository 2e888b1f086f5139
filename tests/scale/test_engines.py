"""The distributed shape on each engine that it may stand on: what is promised does not depend on it."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.binaries import ServiceMissing, find
from config.local_services import free_port, throw_away_folder
from config.programs import Simulator, printed_key
from config.stack import Service, Stack
from config.streams import Client
from tests.flows.client import STUCK_AT_FIRST, Api, eventually
from tests.services.pgbouncer import CONNECTIONS, PGBOUNCER, PgBouncer
from tests.services.rabbitmq import RABBITMQ, RabbitMQ

pytestmark = [pytest.mark.stack, pytest.mark.scale]

TASKS = 40
RUNNING = "SELECT count(*) FROM queueing_queueentry WHERE state = 'running'"
ACTIVE = "SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status IN ('pending', 'processing')"
COMPLETED = "SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status = 'completed'"
TWICE_FINISHED = "SELECT count(*) - count(DISTINCT task_id) FROM ai_tasks_attempt WHERE state = 'succeeded'"
STARTED_LESS_CHARGES = """SELECT (SELECT count(*) FROM ai_tasks_attempt WHERE started_at IS NOT NULL)
    - (SELECT count(*) FROM ai_tasks_ledgerentry WHERE kind = 'charge')"""
REFUSED = "was not handed to the broker"
LISTENED_TO = """SELECT count(*) FROM ai_tasks_workerprocess WHERE queues::text LIKE '%ai.late.default%'"""
LOCKED = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'tasuki' AND application_name <> 'tests'"
LEFT_BEHIND = """SELECT array(SELECT name FROM pg_prepared_statements)
    || array(SELECT name FROM pg_cursors WHERE name <> '')
    || array(SELECT pg_listening_channels()) || array(SELECT name FROM pg_settings WHERE source = 'session'
      AND name NOT IN ('TimeZone', 'DateStyle', 'client_encoding', 'application_name', 'standard_conforming_strings'))
    || array(SELECT locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory')"""
"""Of a session, whoever uses it next would find it; what is left out, PgBouncer keeps apart by client."""


class Engine:
    """One installation, and the service beside PostgreSQL and Redis that it is about."""

    def __init__(self, stack: Stack, service: Service) -> None:
        self.stack = stack
        self.service = service
        self.api = Api(stack.url, printed_key(stack.manage("welcome", "--url", stack.url)))

    @property
    def broker(self) -> Any:
        """Where Celery's messages are."""
        return self.service if isinstance(self.service, RabbitMQ) else self.stack.redis

    def ask(self, query: str) -> Any:
        """Return the one value that a query to the database itself finds."""
        with psycopg.connect(self.stack.postgres.url(), application_name="tests") as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]

    def log(self, name: str) -> str:
        """Return what a process has said."""
        return (self.stack.folder / f"{name}.log").read_text(encoding="utf-8")

    def is_settled(self) -> bool:
        """Is nothing left to do, and all paid for?"""
        return self.ask(ACTIVE) == 0 and self.ask(STARTED_LESS_CHARGES) == 0


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A provider behind a real socket."""
    simulator = Simulator(tmp_path_factory.mktemp("provider"))
    simulator.start()
    yield simulator
    simulator.stop()


def made(name: str, folder: Path, stack: Stack) -> Service:
    """Return the engine of this name, brought where we may; skip where it is not to be had."""
    try:
        find(PGBOUNCER if name == "pgbouncer" else RABBITMQ)
    except ServiceMissing as missing:
        pytest.skip(str(missing))
    return PgBouncer(folder / name, stack.postgres) if name == "pgbouncer" else RabbitMQ(folder / name)


@pytest.fixture(scope="module", params=["pgbouncer", "rabbitmq"])
def engine(request: pytest.FixtureRequest, provider: Simulator) -> Iterator[Engine]:
    """An installation on this engine: web, two workers, beat; leases are short, so that the tests need not wait."""
    settings = {
        "AI_LEASE_SECONDS": "6",
        "AI_LOST_CHARGE_GRACE_SECONDS": "1",
    }
    with throw_away_folder("engine") as folder:
        file = folder / "providers.json"
        file.write_text(provider.setting(), encoding="utf-8")
        stack = Stack(folder, port=free_port(), is_durable=False, AI_PROVIDERS_FILE=str(file), **settings)
        service = made(request.param, folder, stack)
        stack.beside.append(service)
        try:
            stack.start()
            running = Engine(stack, service)
            eventually(lambda: running.ask("SELECT count(*) FROM ai_tasks_workerprocess") == 2, "both workers joined")
            with psycopg.connect(stack.postgres.url()) as connection:
                connection.execute("UPDATE providers_providerlimit SET max_concurrency = NULL")
            yield running
        finally:
            stack.stop()


def test_a_task_is_answered_and_a_chat_is_streamed(engine: Engine) -> None:
    task = engine.api.submit("Name a river.", model="remote/sim-1", wait=20)
    _, session = engine.api.call("POST", "/chat/sessions", {"title": "rivers", "model": "remote/sim-1"})

    heard, message = asyncio.run(_chat(engine, session["id"]))

    assert task["status"] == "completed"
    assert len(heard) > 3
    _, page = engine.api.call("GET", f"/chat/sessions/{session['id']}/messages")
    assert "".join(heard) == next(each["content"] for each in page["data"] if each["id"] == message)


async def _chat(engine: Engine, session_id: str) -> tuple[list[str], str]:
    """Return the deltas of a reply over the WebSocket, and the reply's id."""
    client = Client(session_id)
    await client.open(engine.stack.ports["web"], engine.api.key)
    assert client.socket is not None
    listening = asyncio.create_task(client.listen())
    script = {"output_tokens": 20, "tokens_per_second": 20}
    client.socket.send("message.send", content="Name a river.", client_id="1", simulate=script)
    async with asyncio.timeout(30):
        await client.has_ended.wait()
    listening.cancel()
    client.socket.close()
    return client.texts, client.message_id


def test_a_broker_that_is_away_refuses_nobody(engine: Engine) -> None:
    before = engine.ask(COMPLETED)

    engine.broker.stop()
    accepted = [engine.api.submit("while the broker is away", model="remote/sim-1") for _ in range(5)]
    eventually(
        lambda: engine.log("worker-1").count("Trying again in 2.00 seconds") >= 3, "the worker looks for the broker"
    )
    engine.broker.start()

    done = before + len(accepted)
    eventually(lambda: engine.ask(COMPLETED) == done, "work goes on soon after the broker's return", seconds=10)
    assert engine.ask(TWICE_FINISHED) == 0
    assert "Trying again in 4" not in engine.log("worker-1"), "it does not look less and less often"
    assert all(process.poll() is None for process in engine.stack.processes.values()), "every process lived on"


def test_a_killed_worker_loses_nothing(engine: Engine) -> None:
    before = engine.ask(COMPLETED)
    engine.api.submit_many(TASKS, model="remote/sim-1", **STUCK_AT_FIRST)
    eventually(lambda: engine.ask(RUNNING) == TASKS, "all run")

    for name in ("worker-1", "worker-2"):
        engine.stack.kill(name)
        engine.stack.spawn(name)

    eventually(engine.is_settled, "all ended and are paid for")
    assert engine.ask(COMPLETED) == before + TASKS
    assert engine.ask(TWICE_FINISHED) == 0


@pytest.mark.parametrize("engine", ["pgbouncer"], indirect=True)
def test_few_connections_serve_all_and_nothing_is_left_in_them(engine: Engine) -> None:
    assert isinstance(engine.service, PgBouncer)
    before = engine.ask(COMPLETED)
    script = {"output_tokens": 20, "tokens_per_second": 20}
    engine.api.submit_many(TASKS, model="remote/sim-1", **script)
    most = 0

    while engine.ask(COMPLETED) < before + TASKS:
        most = max(most, engine.ask(BACKENDS))

    assert 1 <= most <= CONNECTIONS
    with ExitStack() as transactions:
        # Open at the same time, so each has another of PgBouncer's connections.
        each = [transactions.enter_context(psycopg.connect(engine.service.url)) for _ in range(CONNECTIONS)]
        assert [session.execute(LEFT_BEHIND).fetchall() for session in each] == [[([],)]] * CONNECTIONS


@pytest.mark.parametrize("engine", ["pgbouncer"], indirect=True)
def test_a_transaction_that_stands_still_is_ended_there_too(engine: Engine) -> None:
    assert isinstance(engine.service, PgBouncer)
    with psycopg.connect(engine.service.url) as suspended:
        suspended.execute("LOCK TABLE ai_tasks_workerprocess IN ACCESS EXCLUSIVE MODE")

        eventually(lambda: engine.ask(LOCKED) == 0, "PgBouncer ended it", seconds=15)

        with pytest.raises(psycopg.OperationalError):
            suspended.execute("SELECT 1")


@pytest.mark.parametrize("engine", ["pgbouncer"], indirect=True)
def test_a_pgbouncer_that_restarts_costs_an_answer_at_most(engine: Engine) -> None:
    body = {"type": "text.generate", "model": "remote/sim-1", "input": {"prompt": "Name a river."}}

    engine.service.stop()
    status, problem = engine.api.call("POST", "/tasks", body)
    engine.service.start()

    assert (status, problem["code"]) == (503, "unavailable")
    eventually(lambda: engine.api.call("POST", "/tasks?wait=20", body)[1].get("status") == "completed", "it is back")


@pytest.mark.parametrize("engine", ["rabbitmq"], indirect=True)
def test_every_queue_of_work_is_a_quorum_queue(engine: Engine, provider: Simulator) -> None:
    assert isinstance(engine.service, RabbitMQ)
    settings = json.loads(provider.setting())
    late = {**settings, "late": settings["remote"]}
    (engine.stack.folder / "providers.json").write_text(json.dumps(late), encoding="utf-8")
    eventually(lambda: engine.ask(LISTENED_TO) == 2, "both workers listen for a provider that was added")

    task = engine.api.submit("Is somebody there?", model="late/sim-1", wait=20)

    assert task["status"] == "completed"
    types = engine.service.queue_types()
    work = {name for name in types if name.startswith("ai.") or name in ("control", "webhooks")}
    assert {"ai.remote.default", "ai.remote.long", "ai.late.default", "control", "webhooks"} <= work
    assert {types[name] for name in work} == {"quorum"}


@pytest.mark.parametrize("engine", ["rabbitmq"], indirect=True)
def test_a_broker_that_stands_still_holds_nobody_up(engine: Engine) -> None:
    assert isinstance(engine.service, RabbitMQ)
    before, refused = engine.ask(COMPLETED), engine.log("web").count(REFUSED)

    engine.service.freeze()
    began = time.monotonic()
    for _ in range(5):
        engine.api.submit("while the broker stands still", model="remote/sim-1")
    seconds = time.monotonic() - began
    eventually(lambda: engine.log("web").count(REFUSED) > refused + 1, "publishing gave up, twice")
    engine.service.thaw()

    assert seconds < 5
    eventually(lambda: engine.ask(COMPLETED) == before + 5, "work goes on soon", seconds=10)
