"""Two hundred thousand tasks wait and a million have ended: what runs often still reads a few rows by an index."""

import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask, Attempt
from providers import control
from providers.models import ProviderLimit
from queueing.models import QueueEntry, TaskQueue
from tests.engine import admitted, plan, text_task
from tests.scale.rows import analyze, multiply

pytestmark = [pytest.mark.scale, pytest.mark.postgresql, pytest.mark.django_db]

WAITING = 200_000
FINISHED = 1_000_000
USERS = 1_000
PLANS = 20
BATCH = 32
SLOWER = 1.5
"""So many times the median plan of a queue of a few hundred may that of the deep queue take."""

tasks = AIGenerationTask.objects


@dataclass(frozen=True)
class DeepQueue:
    """What the tests look at."""

    user: User
    """One of the thousand."""
    shallow_plan_ms: float
    """Median plan before the queue was deep."""


@pytest.fixture(scope="module")
def deep_queue(django_db_setup: None, django_db_blocker: Any) -> Iterator[DeepQueue]:
    """The rows, made once for the module."""
    with django_db_blocker.unblock():
        control.ensure_providers(clock.now())
        ProviderLimit.objects.update(max_concurrency=None, requests_per_minute=None, tokens_per_minute=None)
        User.objects.bulk_create(User(username=f"user{number}") for number in range(USERS))
        user = User.objects.get(username="user7")
        fill(user, waiting=PLANS * BATCH, finished=0)
        shallow_plan_ms = median_plan_ms()
        fill(user, waiting=WAITING, finished=FINISHED)
        yield DeepQueue(user, shallow_plan_ms)
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE ai_tasks_aigenerationtask, queueing_queueentry, auth_user CASCADE")


def fill(user: User, *, waiting: int, finished: int) -> None:
    """Add that many waiting tasks with their entries, over all users and classes, and that many that have ended."""
    first_user = User.objects.earliest("pk").pk
    task = text_task(user, now=clock.now())
    entry = QueueEntry.objects.get(task_id=task.pk)
    of_a_user = f"{first_user} + mod(n, {USERS})"
    multiply(task, waiting, id="gen_random_uuid()", owner_id=of_a_user, priority="mod(n, 5)")
    with connection.cursor() as cursor:
        cursor.execute(_ENTRIES, [entry.pk])
    then = "template.created_at - n * interval '1 s'"
    status = "CASE WHEN mod(n, 50) = 0 THEN 'failed' ELSE 'completed' END"
    ended = {"status": status, "created_at": then, "finished_at": then}
    multiply(task, finished, id="gen_random_uuid()", owner_id=of_a_user, **ended)
    analyze(AIGenerationTask, QueueEntry)


_COLUMNS = [field.column for field in QueueEntry._meta.concrete_fields if field.column != "id"]
_OWN = {"task_id": "t.id", "priority": "t.priority", "owner_key": "t.owner_id::text", "fair_tag": "random() * 1e6"}
_ENTRIES = f"""
INSERT INTO queueing_queueentry ({", ".join(_COLUMNS)})
SELECT {", ".join(_OWN.get(column, f"e.{column}") for column in _COLUMNS)}
FROM ai_tasks_aigenerationtask t, queueing_queueentry e
WHERE e.id = %s AND t.epoch = 0 AND t.status = 'pending'
AND NOT EXISTS (SELECT FROM queueing_queueentry WHERE task_id = t.id)
"""


def rows_read(told: str) -> int:
    """Return the largest number of rows that a step of an EXPLAIN ANALYZE yielded or threw away."""
    found = re.findall(r"actual [^)]*?rows=([\d.]+)|Rows Removed by Filter: (\d+)", told)
    return int(max(float(yielded or removed) for yielded, removed in found))


def median_plan_ms() -> float:
    """Return how long one of several full plans takes."""
    took_ms = []
    for _ in range(PLANS):
        began = time.perf_counter()
        found = plan(now=clock.now(), limit=BATCH)
        took_ms.append(1000 * (time.perf_counter() - began))
        assert admitted(found) == BATCH
        QueueEntry.objects.filter(state="queued").delete()
        Attempt.objects.all().delete()
    return statistics.median(took_ms)


def test_admission_from_a_deep_queue_is_as_quick_as_from_a_shallow_one(deep_queue: DeepQueue) -> None:
    deep_plan_ms = median_plan_ms()

    assert deep_plan_ms < SLOWER * deep_queue.shallow_plan_ms


def test_the_pick_reads_as_many_rows_as_it_takes(deep_queue: DeepQueue) -> None:
    heads = QueueEntry.objects.waiting().of("simulator", "default").filter(priority=2).order_by("fair_tag", "id")

    told = heads.select_for_update(skip_locked=True)[:32].explain(analyze=True)

    assert "entry_pick" in told, told
    assert rows_read(told) <= 32, told


def test_peek_is_quick(deep_queue: DeepQueue) -> None:
    began = time.perf_counter()

    found = TaskQueue.objects.peek("simulator", 20, now=clock.now())

    assert len(found) == 20
    assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize(
    "find",
    [
        lambda user: tasks.find_by_user(user, limit=50),
        lambda user: tasks.find_pending_tasks(provider="simulator", lane="default", limit=50),
        lambda user: tasks.find_failed_tasks(limit=50),
        lambda user: tasks.find_timed_out_tasks(clock.now(), limit=50),
        lambda user: tasks.find_by_related_entity("order", "1", limit=50),
        lambda user: tasks.active().for_user(user),
    ],
    ids=["by user", "pending", "failed", "timed out", "by related entity", "active of a user"],
)
def test_a_find_reads_a_small_part(deep_queue: DeepQueue, find: Any) -> None:
    told = find(deep_queue.user).explain(analyze=True)

    assert "Seq Scan on ai_tasks_aigenerationtask" not in told, told
    assert rows_read(told) <= 5_000, told


def test_what_a_user_has_live_is_counted_quickly(deep_queue: DeepQueue) -> None:
    began = time.perf_counter()

    count = tasks.count_active_by_user(deep_queue.user)

    assert count >= WAITING // USERS
    assert time.perf_counter() - began < 0.2
