"""A million tasks, fifty thousand dead letters, two hundred thousand waiting: each page of the console reads little."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ai_tasks import clock, rollups
from ai_tasks.accounts.coverage import MINUTE
from ai_tasks.models import AIGenerationTask, TaskStat, UsageStat
from ai_tasks.ops.pages.nav import PLACES
from config.seeding import Size, analyze, insert, seed
from queueing.models import DeadLetter, FairShare, QueueEntry

pytestmark = [pytest.mark.scale, pytest.mark.postgresql, pytest.mark.django_db]

SIZE = Size(waiting=200_000, parked=100_000, finished=1_000_000, dead_letters=50_000, users=1_000)
DEALT_WITH = 200_000
"""Dead letters beside the open ones: what is open is found by its index where it is not nearly everything."""
MOST_QUERIES = 30
BIG = (
    "ai_tasks_aigenerationtask",
    "ai_tasks_attempt",
    "ai_tasks_chunk",
    "ai_tasks_ledgerentry",
    "ai_tasks_usagestat",
    "queueing_deadletter",
    "queueing_queueentry",
)
PATHS: dict[str, Callable[[], str]] = {
    **{place.name: lambda place=place: reverse(f"ops:{place.name}") for place in PLACES},
    "provider": lambda: reverse("ops:provider", args=["simulator"]),
    "queue": lambda: reverse("ops:queue", args=["simulator"]),
    "queue, parked": lambda: reverse("ops:queue", args=["simulator"]) + "?state=parked",
    "queue, one class": lambda: reverse("ops:queue", args=["simulator"]) + "?lane=default&priority=low",
    "tasks, failed": lambda: reverse("ops:tasks") + "?status=failed",
    "tasks, cancelled: there are none": lambda: reverse("ops:tasks") + "?status=cancelled&priority=urgent",
    "tasks, of a user": lambda: reverse("ops:tasks") + "?user=seed-7",
    "tasks, related": lambda: reverse("ops:tasks") + "?related_type=order&related_id=1",
    "task that ended": lambda: reverse(
        "ops:task", args=[AIGenerationTask.objects.filter(status="completed").latest("pk").pk]
    ),
    "task that waits": lambda: reverse("ops:task", args=[QueueEntry.objects.waiting().latest("pk").task_id]),
    "letters": lambda: reverse("ops:dead-letters") + "?view=letters&error_class=unavailable",
    "letters, of everything": lambda: reverse("ops:dead-letters") + "?view=letters&resolution=any",
    "statistics of a month": lambda: reverse("ops:statistics") + "?span=month",
    "costs of the month before": lambda: reverse("ops:costs") + "?month=2026-10",
}


@pytest.fixture(scope="module", autouse=True)
def installation(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The rows, made once for the module, and rolled up."""
    with django_db_blocker.unblock():
        seed(SIZE)
        letter = DeadLetter.objects.latest("pk")
        fresh = dict.fromkeys(("id", "task_id"), "gen_random_uuid()")
        insert(letter, "generate_series(1, %s) AS n", DEALT_WITH, **fresh, resolution="'discarded'")
        while rollups.roll_up(clock.now() - 10 * MINUTE):
            pass
        analyze(TaskStat, UsageStat, FairShare, DeadLetter)
        yield
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE ai_tasks_aigenerationtask, queueing_queueentry, queueing_deadletter, ai_tasks_taskstat, "
                "ai_tasks_usagestat, ai_tasks_rollupstate, auth_user CASCADE"
            )


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def explained(statement: str) -> str:
    """Return what PostgreSQL does for a statement."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + statement)
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.mark.parametrize("name", PATHS)
def test_a_page_asks_little_and_scans_no_big_table(root: Client, name: str) -> None:
    path = PATHS[name]()

    with CaptureQueriesContext(connection) as queries:
        answered = root.get(path)

    assert answered.status_code == 200
    assert len(queries) <= MOST_QUERIES
    for query in queries:
        if re.match(r"\s*(SELECT|WITH)", query["sql"]):
            told = explained(query["sql"])
            assert not [table for table in BIG if f"Seq Scan on {table}" in told], f"{query['sql'][:500]}\n{told}"


def test_a_deep_queue_is_told_as_an_estimate(root: Client) -> None:
    told = root.get(reverse("ops:overview")).content.decode()

    estimate = re.search(r"≈ ([\d,]+)", told)
    assert estimate
    assert int(estimate[1].replace(",", "")) == pytest.approx(SIZE.waiting, rel=0.2)
