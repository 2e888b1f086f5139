"""Fifty thousand dead letters: counted and foreseen quickly, sent back by a job that is killed, stopped and resumed."""

import signal
import subprocess
import time

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives import jobs
from ai_tasks.redrives.preview import preview
from providers import control
from queueing.models import DeadLetter, QueueEntry, Redrive, TaskQueue
from tests.ai_tasks.graves import bury
from tests.ai_tasks.test_redrive_job import runner
from tests.scale.rows import analyze, multiply

pytestmark = [pytest.mark.scale, pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

LETTERS, HISTORY = 50_000, 200_000
USERS = 1_000
QUICK_SECONDS = 0.5


@pytest.fixture
def letters(db: None) -> None:
    """Fifty thousand failed tasks of a thousand users with their letters, in two hundred groups."""
    control.ensure_providers(clock.now())
    User.objects.bulk_create(User(username=f"user{number}") for number in range(USERS))
    first = User.objects.earliest("pk")
    task = bury(first)[0]
    multiply(task, LETTERS - 1, id="gen_random_uuid()", owner_id=f"{first.pk} + mod(n, {USERS})")
    columns = {field.column: f'l."{field.column}"' for field in DeadLetter._meta.concrete_fields}
    columns |= {"id": "gen_random_uuid()", "task_id": "t.id", "owner_key": "t.owner_id::text"}
    columns |= {"fingerprint": "lpad(mod(row_number() OVER (), 200)::text, 40, '0')"}
    with connection.cursor() as cursor:
        names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(columns.values())
        cursor.execute(
            f"INSERT INTO queueing_deadletter ({names}) SELECT {values} FROM ai_tasks_aigenerationtask t, "
            "queueing_deadletter l WHERE t.id <> l.task_id"
        )
    analyze(AIGenerationTask, DeadLetter)


def took(act: object) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    act()  # type: ignore[operator]
    return time.perf_counter() - began


def test_groups_and_dry_runs_are_quick_beside_a_long_history(letters: None) -> None:
    letter = DeadLetter.objects.latest("id")
    multiply(letter, HISTORY, id="gen_random_uuid()", task_id="gen_random_uuid()", resolution="'discarded'")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE queueing_deadletter")

    assert "Index Only Scan using dead_letter_group" in plan_by_index()
    assert took(lambda: list(TaskQueue.objects.get_dlq_groups(now=clock.now()))) < QUICK_SECONDS
    assert took(lambda: list(TaskQueue.objects.get_dlq_items(provider="simulator", limit=100))) < QUICK_SECONDS
    assert took(lambda: preview({})) < 4 * QUICK_SECONDS
    assert preview({}).eligible == LETTERS


def plan_by_index() -> str:
    """Return how the groups are counted where a scan of the table is not cheap by chance."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        return str(TaskQueue.objects.get_dlq_groups(now=clock.now()).explain(analyze=True))


def test_all_are_sent_back_once_by_a_job_that_is_killed_stopped_and_resumed(letters: None) -> None:
    job = jobs.begin({"error_class": "unavailable"}, by="carol")
    assert job.total == LETTERS

    with subprocess.Popen(runner(job), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(10):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    killed_at = Redrive.objects.get(pk=job.pk).done
    assert 500 <= killed_at == QueueEntry.objects.count() < LETTERS

    for batch in jobs.carry_out(job.pk, tell=lambda: clock.now() + jobs.LEASE):
        if batch.done >= LETTERS // 2:
            break
    Redrive.objects.stop(job.pk, by="bob", now=clock.now())
    assert list(jobs.carry_out(job.pk)) == []
    Redrive.objects.resume(job.pk, now=clock.now())
    began = time.perf_counter()
    for batch in jobs.carry_out(job.pk):
        rate = (batch.done - LETTERS // 2) / (time.perf_counter() - began)

    job.refresh_from_db()
    print(f"{rate:,.0f} letters a second")  # noqa: T201
    assert (job.state, job.done, job.skipped, job.failed) == ("finished", LETTERS, 0, 0)
    assert QueueEntry.objects.count() == AIGenerationTask.objects.pending().count() == LETTERS
    assert not DeadLetter.objects.open().exists()
