"""A redrive in a real installation: foreseen, begun over REST, killed with its process, finished by the next one."""

import json
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from config.programs import Standalone
from tests.flows.client import Api, eventually

pytestmark = pytest.mark.stack

TASKS = 120
RATE = 10
DIES_ONCE = {"fail": "bad_request", "fail_times": 1}


def rows(server: Standalone, query: str) -> list[Any]:
    """Ask the installation's database."""
    connection = sqlite3.connect(server.folder / "tasuki.sqlite3", timeout=30)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_redrive_outlives_its_process_doubles_nothing_and_keeps_its_rate(tmp_path: Path) -> None:
    server = Standalone(tmp_path)
    server.start()
    api = Api(server.url, server.api_key)
    api.submit_many(TASKS, **DIES_ONCE)
    eventually(lambda: rows(server, DEAD) == [(TASKS,)], "all are dead")
    wish = {"filter": {"error_class": "bad_request"}, "rate": RATE, "reason": "The provider's mistake."}
    assert api.call("POST", "/redrives", wish | {"dry_run": True})[1]["eligible"] == TASKS

    status, job = api.call("POST", "/redrives", wish)
    assert status == 202
    eventually(lambda: api.call("GET", f"/redrives/{job['id']}")[1]["done"] > 0, "it has begun")
    server.kill()
    server.start()

    eventually(lambda: rows(server, COMPLETED) == [(TASKS,)], "all are completed")
    eventually(lambda: api_of(server).call("GET", f"/redrives/{job['id']}")[1]["state"] == "finished", "it is finished")
    done = api_of(server).call("GET", f"/redrives/{job['id']}")[1]
    assert (done["total"], done["done"], done["skipped"], done["failed"]) == (TASKS, TASKS, 0, 0)
    assert rows(server, WINS) == [(TASKS, TASKS)]
    assert most_in_a_second(server) <= RATE + 1
    ((result_state, result),) = rows(server, RESULT.format(job["id"]))
    assert (result_state, json.loads(result)["done"]) == ("SUCCESS", TASKS)
    assert server.stop() == 0


def api_of(server: Standalone) -> Api:
    """Return a client of the server as it is now."""
    return Api(server.url, server.api_key)


def most_in_a_second(server: Standalone) -> int:
    """Return how many of the tasks might start at most within any second, by when their deadlines were counted from."""
    slots = sorted(row[0] for row in rows(server, SLOTS))
    assert len(slots) == TASKS
    return max(1 + sum(1 for other in slots if slot < other <= slot + 1) for slot, _ in pairwise([*slots, slots[-1]]))


DEAD = "SELECT count(*) FROM queueing_deadletter WHERE resolution = 'open'"
COMPLETED = "SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status = 'completed'"
WINS = "SELECT count(*), count(DISTINCT task_id) FROM ai_tasks_attempt WHERE state = 'succeeded'"
SLOTS = "SELECT (julianday(deadline_at) - 2460000) * 86400.0 FROM ai_tasks_aigenerationtask"
RESULT = "SELECT status, result FROM django_celery_results_taskresult WHERE task_id = '{}'"
