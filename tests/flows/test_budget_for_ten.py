"""A budget for exactly ten calls under 200 concurrent submissions, and under SIGKILLs: measured at the provider."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.local_services import free_port, throw_away_folder
from config.programs import Simulator, Standalone, printed_key
from config.stack import BASE_DIR, Stack
from tests.flows.client import Api, eventually

pytestmark = pytest.mark.stack

SUBMITTED = 200
TOKENS = 1_000
CALL = {"output_tokens": TOKENS, "tokens_per_second": 0, "latency_ms": 300}
SLOW_CALL = {"output_tokens": TOKENS, "tokens_per_second": 250}
"""An answer of four seconds, to be killed in."""
TEN_CALLS_USD = Decimal("0.0042")
"""A call costs 0.0004 USD for its thousand tokens of output and less than 0.00001 for its input."""
INPUT_USD, OUTPUT_USD = Decimal("0.10") / 1_000_000, Decimal("0.40") / 1_000_000

Rows = Callable[[str], list[Any]]

SET_BUDGET = f"""
from decimal import Decimal
from ai_tasks import clock
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Budget
budgets.store(Budget(scope="global", limit_usd=Decimal("{TEN_CALLS_USD}"), time_zone="Asia/Tokyo"), clock.now())
"""
UNCHARGED = """SELECT count(*) FROM ai_tasks_attempt a WHERE started_at IS NOT NULL AND NOT EXISTS
    (SELECT 1 FROM ai_tasks_ledgerentry l WHERE l.attempt_id = a.id AND l.kind = 'charge')"""
CHARGES_BUT_ONE = """SELECT count(*) FROM (SELECT attempt_id FROM ai_tasks_ledgerentry WHERE kind = 'charge'
    GROUP BY attempt_id HAVING count(*) <> 1) AS more"""
NEVER_STARTED_BUT_CHARGED = """SELECT count(*) FROM ai_tasks_ledgerentry l
    JOIN ai_tasks_attempt a ON a.id = l.attempt_id
    WHERE a.started_at IS NULL"""
STIRRING = "SELECT count(*) FROM queueing_queueentry WHERE state <> 'parked' OR parked_reason <> 'budget'"
RUNNING = "SELECT count(*) FROM queueing_queueentry WHERE state = 'running'"
PERIOD = "SELECT limit_usd, spent_usd, held_usd FROM ai_tasks_budgetperiod"
LEDGER = """SELECT l.task_id, a.epoch, l.amount_usd, l.usage_source, a.state FROM ai_tasks_ledgerentry l
    JOIN ai_tasks_attempt a ON a.id = l.attempt_id"""
OPEN_HOLDS = "SELECT count(*) FROM ai_tasks_hold WHERE settled_at IS NULL"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Simulator]:
    """A provider behind a real socket, which keeps its own books."""
    simulator = Simulator(tmp_path / "provider")
    simulator.start()
    yield simulator
    simulator.stop()


def environment(provider: Simulator) -> dict[str, str]:
    """Leases and graces are short, so that the test need not wait for long."""
    short = {"AI_LEASE_SECONDS": "4", "AI_LOST_CHARGE_GRACE_SECONDS": "1", "AI_WORKER_THREADS": "32"}
    return {**short, "AI_PROVIDERS": provider.setting()}


@pytest.fixture
def stack(provider: Simulator) -> Iterator[Stack]:
    """PostgreSQL, Redis, daphne, four workers and beat, with a budget for ten calls."""
    with throw_away_folder("budget") as folder:
        running = Stack(folder, port=free_port(), workers=4, is_durable=False, **environment(provider))
        try:
            running.start()
            eventually(
                lambda: on_postgres(running)("SELECT count(*) FROM ai_tasks_workerprocess") == [(4,)], "all joined"
            )
            running.manage("shell", "-v", "0", "-c", SET_BUDGET)
            yield running
        finally:
            running.stop()


def on_postgres(stack: Stack) -> Rows:
    """Return a function that asks the stack's database."""

    def rows(query: str) -> list[Any]:
        with psycopg.connect(stack.postgres.url()) as connection:
            return connection.execute(query).fetchall()

    return rows


def on_sqlite(server: Standalone) -> Rows:
    """Return a function that asks the installation's database."""

    def rows(query: str) -> list[Any]:
        connection = sqlite3.connect(server.folder / "tasuki.sqlite3", timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    return rows


def submit_at_once(api: Api, simulate: dict[str, Any]) -> list[tuple[int, Any]]:
    """Send 200 requests, many at a time, and return what each was answered."""
    body = {"type": "text.generate", "model": "remote/sim-1"}
    given = {"prompt": "Name every river.", "max_output_tokens": TOKENS, "simulate": simulate}
    with ThreadPoolExecutor(32) as pool:
        return list(pool.map(lambda _: api.call("POST", "/tasks", {**body, "input": given}), range(SUBMITTED)))


def bills(provider: Simulator) -> dict[str, Decimal]:
    """Return what the provider asks for each call, by our id of it; it rounds nothing."""
    ended = [line for line in provider.lines() if line["event"] == "ended"]
    return {line["request_id"]: line["input_tokens"] * INPUT_USD + line["output_tokens"] * OUTPUT_USD for line in ended}


def usd(stored: int) -> Decimal:
    """Return a stored whole number as the amount that it is."""
    return Decimal(stored) / 10**10


def assert_books_agree(rows: Rows, provider: Simulator) -> None:
    """Every started call has one charge; what was settled is the provider's bill; estimates are of killed workers."""
    assert rows(UNCHARGED) == rows(CHARGES_BUT_ONE) == rows(NEVER_STARTED_BUT_CHARGED) == rows(OPEN_HOLDS) == [(0,)]
    billed = bills(provider)
    charged = {f"{task}.{epoch}": (usd(amount), source, state) for task, epoch, amount, source, state in rows(LEDGER)}
    charged = {dashed(key): value for key, value in charged.items()}
    settled = {key: amount for key, (amount, source, _) in charged.items() if source == "provider"}
    assert settled == {key: billed[key] for key in settled}
    assert {state for _, source, state in charged.values() if source != "provider"} <= {"lost"}
    asked = [line["request_id"] for line in provider.lines() if line["event"] == "began"]
    assert len(asked) == len(set(asked))
    assert set(asked) <= set(charged), "no call went unpaid"
    ((limit, spent, held),) = rows(PERIOD)
    assert held == 0
    assert usd(spent) == sum(amount for amount, _, _ in charged.values())
    assert spent <= limit


def dashed(key: str) -> str:
    """Return `<task>.<epoch>` with the task's id as clients write it; SQLite stores it without dashes."""
    task, _, epoch = key.partition(".")
    if "-" not in task:
        task = "-".join((task[:8], task[8:12], task[12:16], task[16:20], task[20:]))
    return f"{task}.{epoch}"


def assert_exactly_ten(rows: Rows, api: Api, provider: Simulator, answers: list[tuple[int, Any]]) -> None:
    eventually(lambda: rows(STIRRING) == [(0,)], "whatever may run has run")
    began = [line for line in provider.lines() if line["event"] == "began"]
    assert len(began) == 10
    assert {status for status, _ in answers} <= {202, 402}
    accepted = [task["id"] for status, task in answers if status == 202]
    states = [api.task(task_id) for task_id in accepted]
    assert sum(task["status"] == "completed" for task in states) == 10
    waiting = [task["waiting"] for task in states if task["status"] == "pending"]
    assert len(waiting) == len(accepted) - 10
    assert {each["reason"] for each in waiting} <= {"budget"}
    refused = [problem["budget"] for status, problem in answers if status == 402]
    assert {(each["scope"], each["limit_usd"]) for each in refused} <= {("global", str(TEN_CALLS_USD))}
    assert {each["until"][:19] for each in waiting} | {each["resets_at"][:19] for each in refused} == {resets_at(rows)}
    assert_books_agree(rows, provider)


def resets_at(rows: Rows) -> str:
    return str(rows("SELECT ends_at FROM ai_tasks_budgetperiod")[0][0])[:19].replace(" ", "T")


def test_of_200_submissions_in_one_process_ten_reach_the_provider(provider: Simulator, tmp_path: Path) -> None:
    server = with_budget(Standalone(tmp_path / "server", **environment(provider)))
    api = Api(server.url, server.api_key)

    answers = submit_at_once(api, CALL)

    assert_exactly_ten(on_sqlite(server), api, provider, answers)
    assert server.stop() == 0


@pytest.mark.scale
def test_of_200_submissions_to_four_workers_ten_reach_the_provider(stack: Stack, provider: Simulator) -> None:
    api = Api(stack.url, printed_key(stack.manage("welcome", "--url", stack.url)))

    answers = submit_at_once(api, CALL)

    assert_exactly_ten(on_postgres(stack), api, provider, answers)


@pytest.mark.scale
def test_after_kills_of_workers_nothing_is_held_and_every_call_is_paid_once(stack: Stack, provider: Simulator) -> None:
    api, rows = Api(stack.url, printed_key(stack.manage("welcome", "--url", stack.url))), on_postgres(stack)

    submit_at_once(api, SLOW_CALL)
    for _ in range(5):
        eventually(lambda: bool(busy(stack)), "something runs")
        name = busy(stack)[0]
        stack.kill(name)
        stack.spawn(name)

    assert_settled_after_kills(rows, provider)


@pytest.mark.scale
def test_after_kills_of_the_one_process_nothing_is_held_and_every_call_is_paid_once(
    provider: Simulator, tmp_path: Path
) -> None:
    server = with_budget(Standalone(tmp_path / "server", **environment(provider)))
    rows = on_sqlite(server)

    submit_at_once(Api(server.url, server.api_key), SLOW_CALL)
    for _ in range(3):
        eventually(lambda: rows(RUNNING) != [(0,)], "something runs")
        server.kill()
        server.start()

    assert_settled_after_kills(rows, provider)
    assert server.stop() == 0


def busy(stack: Stack) -> list[str]:
    """Return the names of the workers that run something."""
    running = on_postgres(stack)(
        "SELECT w.pid FROM queueing_queueentry e JOIN ai_tasks_workerprocess w ON w.boot_id = e.worker"
        " WHERE e.state = 'running'"
    )
    return [name for name, process in stack.processes.items() if (process.pid,) in running]


def assert_settled_after_kills(rows: Rows, provider: Simulator) -> None:
    eventually(lambda: rows(STIRRING) == rows(UNCHARGED) == rows(OPEN_HOLDS) == [(0,)], "all is settled", seconds=180)
    assert rows("SELECT count(*) FROM ai_tasks_attempt WHERE state = 'lost'") > [(0,)], "a kill hit a call"
    assert_books_agree(rows, provider)


def with_budget(server: Standalone) -> Standalone:
    """Start the installation and give it the budget."""
    server.start()
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", SET_BUDGET]
    subprocess.run(command, env=server.environment, cwd=BASE_DIR, check=True)
    return server
