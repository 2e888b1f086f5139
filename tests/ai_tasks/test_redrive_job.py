"""A redrive as a job: a rate that is kept, a stop, a resume, a runner that dies, two runners at once."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection

from ai_tasks import clock, sweeps
from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives import jobs
from config.chaos.invariants import violations
from queueing.models import DeadLetter, QueueEntry, Redrive, TaskQueue
from tests.ai_tasks.graves import bury, carried_out, counts, letter_of, redrive
from tests.engine import Held, at, at_once, entry_of
from tests.flows.client import eventually

pytestmark = pytest.mark.usefixtures("providers_ready")

MANY = 300
discard = TaskQueue.objects.discard_from_dlq


def starts() -> list[float]:
    """Return when each entry may start at the soonest, in seconds after NOW, in order."""
    entries = QueueEntry.objects.values_list("parked_until", "enqueued_at")
    return sorted(((until or since) - at(0)).total_seconds() for until, since in entries)


def test_a_rate_parks_tasks_one_after_the_other_within_its_horizon(alice: User) -> None:
    task = bury(alice, 100)[50]

    job = redrive(rate=2)

    assert counts(job) == (100, 41, 0, 0)
    assert starts() == [10 + number / 2 for number in range(41)]
    assert {entry.parked_reason for entry in QueueEntry.objects.parked()} == {"redrive"}
    assert (job.state, job.due_at, job.runner) == ("running", at(20.5), None)
    assert not QueueEntry.objects.filter(task_id=task.pk).exists()
    assert violations() == []


def test_a_rate_is_kept_over_batches_pauses_and_late_runners(alice: User) -> None:
    bury(alice, 200)
    job = redrive(rate=2)

    for seconds in (11, 20.5, 22, 31, 95, 96, 200, 201, 202, 210, 300, 400):
        job = carried_out(job, seconds)

    assert counts(job) == (200, 200, 0, 0)
    assert min(later - sooner for sooner, later in pairwise(starts())) >= 0.5
    assert job.state == "finished"


def test_a_slow_rate_sends_the_first_at_once_and_one_at_a_time(alice: User) -> None:
    bury(alice, 3)

    job = redrive(rate=0.01)

    assert (counts(job)[1], starts()) == (1, [10.0])
    assert counts(carried_out(carried_out(job, 95), 101))[1] == 2


def test_a_parked_task_has_its_whole_deadline_from_its_start_on(alice: User) -> None:
    first, last = bury(alice, 2)

    redrive(rate=0.1)

    assert entry_of(last).deadline_at - entry_of(first).deadline_at == at(10) - at(0)


def test_a_stopped_job_sends_nothing_more_and_a_resumed_one_the_rest(alice: User) -> None:
    bury(alice, 120)
    job = jobs.begin({}, by="carol", now=at(1))
    batches = jobs.carry_out(job.pk, tell=lambda: at(10))
    next(batches)

    assert Redrive.objects.stop(job.pk, by="bob", now=at(11))
    assert list(batches) == []

    job.refresh_from_db()
    assert (job.state, job.stopped_by, job.stopped_at, job.done) == ("stopped", "bob", at(11), 50)
    assert counts(carried_out(job, 100)) == (120, 50, 0, 0)
    assert Redrive.objects.resume(job.pk, now=at(12))
    assert counts(carried_out(job, 100)) == (120, 120, 0, 0)
    assert QueueEntry.objects.count() == 120


def test_only_a_running_job_is_stopped_and_only_a_stopped_one_resumed(alice: User) -> None:
    bury(alice)
    job = redrive()

    assert not Redrive.objects.stop(job.pk, by="bob", now=at(11))
    assert not Redrive.objects.resume(job.pk, now=at(11))
    assert not Redrive.objects.stop(uuid4(), by="bob", now=at(11))


def test_a_job_is_one_runners_until_its_lease_passes(alice: User) -> None:
    bury(alice, 120)
    job = jobs.begin({}, by="carol", now=at(1))
    first = jobs.carry_out(job.pk, tell=lambda: at(10))
    next(first)

    assert counts(carried_out(job, 69)) == (120, 50, 0, 0)
    assert counts(carried_out(job, 71)) == (120, 120, 0, 0)
    assert list(first) == []
    assert QueueEntry.objects.count() == 120


def test_a_runner_that_lost_its_lease_sends_nothing_more(alice: User) -> None:
    bury(alice, 160)
    job = jobs.begin({}, by="carol", now=at(1))
    slow, quick = (jobs.carry_out(job.pk, tell=lambda seconds=seconds: at(seconds)) for seconds in (10, 71))

    assert (next(slow).done, next(quick).done) == (50, 100)

    assert list(slow) == []
    assert [each.done for each in quick] == [150, 160]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_letter_that_is_discarded_at_the_same_moment_is_not_sent(alice: User) -> None:
    task = bury(alice)[0]
    job = jobs.begin({}, by="carol", now=at(1))

    with ThreadPoolExecutor(1) as executor, Held(lambda: discard({}, by="bob", reason="Old.", now=at(2))) as held:
        sending = executor.submit(carried_out_and_closed, job)
        eventually(somebody_waits_for_a_lock, "the batch has read the letter and waits for it")
        held.end()
        sending.result(timeout=20)

    assert counts(Redrive.objects.get(pk=job.pk)) == (1, 0, 0, 0)
    assert (letter_of(task).resolution, QueueEntry.objects.count()) == ("discarded", 0)


def carried_out_and_closed(job: Redrive) -> None:
    try:
        carried_out(job, 10)
    finally:
        connection.close()


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_a_process_alone_with_its_database_waits_for_no_lease(alice: User) -> None:
    bury(alice, 120)
    job = jobs.begin({}, by="carol", now=at(1))
    killed = jobs.carry_out(job.pk, tell=lambda: at(10))
    next(killed)

    sweeps.rescue_from_dead_processes(at(11))

    assert counts(carried_out(job, 12)) == (120, 120, 0, 0)
    assert list(killed) == []


def test_due_are_running_jobs_that_nobody_works_on(alice: User) -> None:
    bury(alice, 100)
    new, rated = jobs.begin({}, by="carol", now=at(1)), redrive(rate=1)

    assert set(Redrive.objects.due(at(10))) == {new}
    assert set(Redrive.objects.due(at(21))) == {new, rated}

    Redrive.objects.claim(new.pk, uuid4(), until=at(60), now=at(10))
    assert set(Redrive.objects.due(at(21))) == {rated}


@pytest.mark.django_db(transaction=True)
def test_of_many_runners_at_once_one_sends_each_letter(alice: User) -> None:
    bury(alice, 60)
    job = jobs.begin({}, by="carol", now=at(1))

    outcomes = at_once([lambda: len(list(jobs.carry_out(job.pk, tell=lambda: at(10))))] * 4)

    job.refresh_from_db()
    assert sorted(map(str, outcomes)) == ["0", "0", "0", "2"]
    assert counts(job) == (60, 60, 0, 0)
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_two_jobs_over_the_same_letters_send_each_once(alice: User, bob: User) -> None:
    bury(alice, 60)
    bury(bob, 60)
    both = [jobs.begin({}, by="carol", now=at(1)) for _ in range(2)]

    at_once([lambda job=job: list(jobs.carry_out(job.pk, tell=lambda: at(10))) for job in both])

    done = [carried_out(job, 100).done for job in both]
    assert sum(done) == 120
    assert QueueEntry.objects.count() == 120
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_runner_was_killed_is_finished_by_another_and_nothing_is_doubled(alice: User) -> None:
    bury(alice, MANY)
    job = jobs.begin({}, by="carol")

    with subprocess.Popen(runner(job), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "50\n"
        process.send_signal(signal.SIGKILL)

    job.refresh_from_db()
    assert (job.state, 50 <= job.done < MANY) == ("running", True)
    assert job.done == QueueEntry.objects.count() == DeadLetter.objects.exclude(resolution="open").count()
    assert list(jobs.carry_out(job.pk)) == [], "its lease has not passed"

    for _ in jobs.carry_out(job.pk, tell=lambda: clock.now() + jobs.LEASE):
        pass

    job.refresh_from_db()
    assert (job.state, counts(job)) == ("finished", (MANY, MANY, 0, 0))
    assert QueueEntry.objects.count() == AIGenerationTask.objects.pending().count() == MANY
    assert violations() == []


def runner(job: Redrive) -> list[str]:
    """Return the command that carries a job out in a process of its own, on the tests' database."""
    return [sys.executable, "-m", "tests.ai_tasks.redrive_runner", str(connection.settings_dict["NAME"]), str(job.pk)]
