"""SIGKILL of the one process in the middle of 200 tasks: the next start finishes them, each once, each paid once."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from config.programs import Standalone
from tests.flows.client import STUCK_AT_FIRST, Api, eventually

pytestmark = pytest.mark.stack

TASKS = 200


def rows(server: Standalone, query: str) -> list[Any]:
    """Ask the installation's database."""
    connection = sqlite3.connect(server.folder / "tasuki.sqlite3", timeout=30)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def change(server: Standalone, statement: str) -> None:
    """Change the installation's database, as an operator would in admin."""
    connection = sqlite3.connect(server.folder / "tasuki.sqlite3", timeout=30)
    with connection:
        connection.execute(statement)
    connection.close()


def test_every_accepted_task_is_finished_once_and_paid_once(tmp_path: Path) -> None:
    server = Standalone(tmp_path, AI_LOST_CHARGE_GRACE_SECONDS="1", AI_WORKER_THREADS=str(TASKS))
    server.start()
    change(server, "UPDATE providers_providerlimit SET max_concurrency = NULL")
    api = Api(server.url, server.api_key)
    ids = api.submit_many(TASKS, **STUCK_AT_FIRST)
    eventually(lambda: rows(server, RUNNING) == [(TASKS,)], "all run")
    server.kill()

    server.start()

    eventually(lambda: rows(server, COMPLETED)[0][0] == TASKS, "all are completed")
    eventually(lambda: rows(server, UNCHARGED)[0][0] == 0, "lost attempts are charged by estimate")
    assert len(set(ids)) == TASKS
    assert rows(server, "SELECT count(*) FROM queueing_queueentry") == [(0,)]
    assert rows(server, FINISHES) == [(TASKS, TASKS)]
    assert rows(server, CHARGES) == rows(server, STARTED) == [(2 * TASKS,)]
    assert rows(server, LOST_BUT_NOT_ESTIMATED) == [(0,)]
    assert server.stop() == 0


RUNNING = "SELECT count(*) FROM queueing_queueentry WHERE state = 'running'"
COMPLETED = "SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status = 'completed'"
STARTED = "SELECT count(*) FROM ai_tasks_attempt WHERE started_at IS NOT NULL"
CHARGES = "SELECT count(*) FROM ai_tasks_ledgerentry WHERE kind = 'charge'"
FINISHES = "SELECT count(*), count(DISTINCT task_id) FROM ai_tasks_attempt WHERE state = 'succeeded'"
UNCHARGED = f"""SELECT count(*) FROM ai_tasks_attempt a WHERE started_at IS NOT NULL
    AND NOT EXISTS ({CHARGES.replace("count(*)", "1")} AND attempt_id = a.id)"""
LOST_BUT_NOT_ESTIMATED = """SELECT count(*) FROM ai_tasks_ledgerentry l JOIN ai_tasks_attempt a ON a.id = l.attempt_id
    WHERE a.state = 'lost' AND l.usage_source <> 'estimated'"""
