"""200,000 tasks wait, 100,000 are parked, a million have ended: what runs often still reads a few rows by an index."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from ai_tasks import clock, lease, sweeps
from ai_tasks.models import AIGenerationTask, RollupState
from config.seeding import Size, seed
from providers import control
from providers.models import ProviderLimit
from queueing.models import QueueEntry, TaskQueue
from tests.engine import WORKER, admitted, answer, plan, text_task

pytestmark = [pytest.mark.scale, pytest.mark.postgresql, pytest.mark.django_db]

WAITING = 200_000
PARKED = 100_000
DEAD_LETTERS = 50_000
FINISHED = 1_000_000
USERS = 1_000
BATCH = 32

tasks = AIGenerationTask.objects


@pytest.fixture(scope="module")
def deep_queue(django_db_setup: None, django_db_blocker: Any) -> Iterator[User]:
    """The rows, made once for the module; one of their users."""
    with django_db_blocker.unblock():
        control.ensure_providers(clock.now())
        ProviderLimit.objects.update(max_concurrency=None, requests_per_minute=None, tokens_per_minute=None)
        seed(Size(WAITING, PARKED, FINISHED, DEAD_LETTERS, USERS))
        yield User.objects.get(username="seed-7")
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE ai_tasks_aigenerationtask, queueing_queueentry, queueing_deadletter, auth_user CASCADE"
            )


def rows_read(told: str) -> int:
    """Return the largest number of rows that a step of an EXPLAIN ANALYZE yielded or threw away."""
    found = re.findall(r"actual [^)]*?rows=([\d.]+)|Rows Removed by Filter: (\d+)", told)
    return int(max(float(yielded or removed) for yielded, removed in found))


def test_the_pick_reads_as_many_rows_as_it_takes(deep_queue: User) -> None:
    heads = QueueEntry.objects.waiting().of("simulator", "default").filter(priority=2).order_by("fair_tag", "id")

    told = heads.select_for_update(skip_locked=True)[:32].explain(analyze=True)

    assert "entry_pick" in told, told
    assert rows_read(told) <= 32, told


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
def test_a_find_reads_a_small_part(deep_queue: User, find: Any) -> None:
    told = find(deep_queue).explain(analyze=True)

    assert "Seq Scan on ai_tasks_aigenerationtask" not in told, told
    assert rows_read(told) <= 5_000, told


def statements(operation: Any) -> list[str]:
    """Run it and return the reads and writes that it sent; an INSERT finds nothing, and cannot be sent twice."""
    with CaptureQueriesContext(connection) as queries:
        operation()
    return [each["sql"] for each in queries if re.match(r"\(?(SELECT|UPDATE|DELETE)", each["sql"])]


def explained(statement: str) -> str:
    """Return what PostgreSQL does for a statement, and undo it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + statement)
        told = "\n".join(row[0] for row in cursor.fetchall())
        transaction.set_rollback(True)
    return told


def buffers(told: str) -> int:
    """Return how many pages the whole statement touched."""
    found = re.search(r"Buffers:([^\n]*)", told)
    return sum(int(number) for number in re.findall(r"(?:hit|read)=(\d+)", found.group(1))) if found else 0


def claim_and_end() -> None:
    """A task's whole walk."""
    leased = tasks.claim_next_pending_task(WORKER, provider="simulator", now=clock.now())
    assert leased
    lease.renew([(leased.task.pk, leased.epoch)], worker=WORKER, lease=timedelta(seconds=90), now=clock.now())
    assert tasks.complete(leased.task.pk, leased.epoch, answer(), now=clock.now())


def admit() -> None:
    """Admit a batch, and take it back."""
    assert admitted(plan(now=clock.now(), limit=BATCH)) == BATCH
    QueueEntry.objects.filter(state="queued").delete()


HOT: dict[str, Callable[[], object]] = {
    "submit": lambda: text_task(User.objects.get(username="seed-7"), now=clock.now(), model="simulator/sim-1"),
    "admit, begin, renew, settle": claim_and_end,
    "peek": lambda: TaskQueue.objects.peek("simulator", 20, now=clock.now()),
    "count a user's live ones": lambda: tasks.count_active_by_user(User.objects.get(username="seed-7")),
    "admit 32": admit,
    "rescue": lambda: sweeps.rescue_lost_leases(clock.now()),
    "lost messages": lambda: sweeps.send_lost_messages(clock.now()),
    "deadlines": lambda: sweeps.time_out(clock.now()),
    "lost charges": lambda: sweeps.charge_lost(clock.now()),
    "wake parked": lambda: sweeps.wake_parked(clock.now()),
}
MOST_BUFFERS = 400
"""Pages (8 KiB) that a statement of the hot path may touch; a scan of the entries would be some ten thousand."""
BIG = ("ai_tasks_aigenerationtask", "ai_tasks_attempt", "ai_tasks_ledgerentry", "queueing_queueentry")


@pytest.mark.parametrize("name", HOT)
def test_each_statement_of_the_hot_path_touches_a_few_pages(deep_queue: User, name: str) -> None:
    HOT[name]()

    for statement in statements(HOT[name]):
        told = explained(statement)
        assert not any(f"Seq Scan on {table}" in told for table in BIG), told
        assert buffers(told) <= MOST_BUFFERS, told


def test_statistics_read_no_history(deep_queue: User) -> None:
    """As if all of it were rolled up: what the sums are is shown elsewhere, here what is read."""
    now = clock.now()
    for name in ("tasks", "usage"):
        RollupState.objects.create(name=name, until=now, hour_until=now, day_until=now)

    for count in (tasks.count_by_status, tasks.calculate_average_processing_time, tasks.get_provider_statistics):
        (statement,) = statements(count)
        told = explained(statement)
        assert "Seq Scan on ai_tasks_aigenerationtask" not in told, told
        assert "Seq Scan on ai_tasks_ledgerentry" not in told, told
