"""200,000 tasks have ended, and as many ledger entries: what reads them, rolls them up and prunes them uses indexes."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from ai_tasks import clock, performance, retention, rollups
from ai_tasks.accounts import ledger
from ai_tasks.accounts.coverage import DAY, HOUR, MINUTE, floor
from ai_tasks.models import AIGenerationTask, Attempt, Chunk, LedgerEntry, TaskStat, UsageStat
from providers import control
from tests.engine import answer, claimed, text_task
from tests.scale.rows import analyze, multiply

pytestmark = [pytest.mark.scale, pytest.mark.postgresql, pytest.mark.django_db]

ENDED = 200_000
BIG = ("ai_tasks_aigenerationtask", "ai_tasks_ledgerentry", "ai_tasks_attempt", "ai_tasks_chunk")
tasks = AIGenerationTask.objects


@pytest.fixture(scope="module", autouse=True)
def history(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Forty days of ended tasks and of the ledger, rolled up."""
    with django_db_blocker.unblock():
        control.ensure_providers(clock.now())
        now = clock.now()
        task = text_task(User.objects.create_user("alice"), now=now)
        tasks.complete(task.pk, claimed(now=now).epoch, answer(), now=now + timedelta(seconds=1))
        then = f"template.finished_at - n * interval '{40 * 86_400 / ENDED} s'"
        times = {"created_at": f"{then} - interval '9 s'", "started_at": f"{then} - mod(n, 80) * interval '0.1 s'"}
        multiply(tasks.get(), ENDED, id="gen_random_uuid()", finished_at=then, provider="'p' || mod(n, 5)", **times)
        charge = LedgerEntry.objects.get()
        when = f"template.created_at - n * interval '{40 * 86_400 / ENDED} s'"
        multiply(charge, ENDED, kind="'adjustment'", charge_id=str(charge.pk), created_at=when)
        multiply(Attempt.objects.get(), ENDED, epoch="9 + n")
        multiply(Chunk.objects.create(task=task, seq=999, epoch=1, data="The"), ENDED, seq="999 + n")
        analyze(AIGenerationTask, LedgerEntry, Attempt, Chunk)
        while rollups.roll_up(clock.now() - 10 * MINUTE):
            pass
        analyze(TaskStat, UsageStat)
        yield
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE ai_tasks_aigenerationtask, ai_tasks_taskstat, ai_tasks_usagestat, ai_tasks_rollupstate, "
                "auth_user CASCADE"
            )


def explained(operation: Callable[[], object]) -> list[str]:
    """Run it and return PostgreSQL's plan of each of its statements on rows, each run once more and undone."""
    with CaptureQueriesContext(connection) as queries:
        operation()
    told = []
    for query in queries:
        if re.match("SELECT|UPDATE|DELETE", query["sql"]) and "pg_advisory" not in query["sql"]:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + query["sql"])
                told.append("\n".join(row[0] for row in cursor.fetchall()))
                transaction.set_rollback(True)
    return told


def days_ago(days: float) -> Any:
    return clock.now() - days * DAY


READS: dict[str, Callable[[], object]] = {
    "all by status": lambda: tasks.count_by_status(),
    "a day by status": lambda: tasks.count_by_status(since=days_ago(1), provider="p1"),
    "a week long ago": lambda: tasks.count_by_status(since=days_ago(30), until=days_ago(23)),
    "the mean": lambda: tasks.calculate_average_processing_time(),
    "providers": lambda: tasks.get_provider_statistics(),
    "a day's providers": lambda: tasks.get_provider_statistics(since=days_ago(1)),
    "the page of an hour": lambda: performance.report(days_ago(1 / 24), days_ago(0), step=MINUTE),
    "the page of a day": lambda: performance.report(days_ago(1), days_ago(0), step=HOUR),
    "the page of a month": lambda: performance.report(days_ago(30), days_ago(0)),
    "the ledger's tail": lambda: [list(rows.values("pk")) for rows in ledger.parts(floor(days_ago(0.1), HOUR))],
}


@pytest.mark.parametrize("name", READS)
def test_statistics_use_indexes_and_read_little_of_history(name: str) -> None:
    READS[name]()

    for told in explained(READS[name]):
        assert not any(f"Seq Scan on {table}" in told for table in BIG), told
        read = [int(rows) for table in BIG for rows in re.findall(rf" on {table}.*actual time=\S+ rows=(\d+)", told)]
        assert sum(read) < 2_000, told


@pytest.mark.parametrize("name", [name for name in READS if "page" not in name])
def test_statistics_answer_quickly(name: str) -> None:
    READS[name]()
    began = time.perf_counter()

    READS[name]()

    assert time.perf_counter() - began < 0.25


def test_a_run_of_rollups_reads_what_is_new() -> None:
    later = clock.now() + timedelta(minutes=20)

    for told in explained(lambda: rollups.roll_up(later)):
        assert not any(f"Seq Scan on {table}" in told for table in BIG), told


def test_pruning_finds_what_is_due_by_an_index() -> None:
    for told in explained(lambda: retention.prune(days_ago(-55), most=1, batch=100)):
        assert not any(f"Seq Scan on {table}" in told for table in BIG), told


def test_history_is_complete() -> None:
    assert tasks.count_by_status()["completed"] == ENDED + 1
    assert performance.report(days_ago(41), days_ago(-1)).total.completed == ENDED + 1
