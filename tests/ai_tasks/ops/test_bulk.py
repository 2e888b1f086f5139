"""Many tasks at once: by a job with an outcome for each, which is stopped, killed, resumed, and doubles nothing."""

import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection

from ai_tasks import clock, tasks
from ai_tasks.models import AIGenerationTask, AuditEntry, BulkJob, JobOutcome
from ai_tasks.ops import bulk, selection
from ai_tasks.ops.jobs import resume_job, stop_job
from ai_tasks.oversight.actions import Action
from config.chaos.invariants import violations
from queueing.errors import BadFilter
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from queueing.states import Priority
from queueing.stored_jobs import LEASE
from tests.ai_tasks.graves import bury
from tests.ai_tasks.ops.people import by
from tests.engine import NOW, answer, at, at_once, claimed, entry_of, fresh, several, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]

MANY = 2_000


def begin(action: Action, chosen: dict[str, Any], **params: Any) -> BulkJob:
    return bulk.begin(action, selection.checked(chosen), by(now=at(1)), **params)


def carried_out(job: BulkJob, seconds: float = 10) -> BulkJob:
    for _ in bulk.carry_out(job.pk, tell=lambda: at(seconds)):
        pass
    return BulkJob.objects.get(pk=job.pk)


def counts(job: BulkJob) -> tuple[str, int, int, int, int]:
    return str(job.state), job.total, job.done, job.skipped, job.failed


def test_waiting_tasks_are_cancelled_and_each_has_its_outcome(alice: User, bob: User) -> None:
    several(alice, 3)
    other = text_task(bob)

    job = carried_out(begin(Action.CANCEL_TASK, {"user": ["alice"]}))

    assert counts(job) == ("finished", 3, 3, 0, 0)
    assert AIGenerationTask.objects.filter(status="cancelled", owner=alice).count() == 3
    assert fresh(other).status == "pending"
    assert JobOutcome.objects.filter(job=job, outcome="done").count() == 3
    assert AuditEntry.objects.get().count == 3
    assert violations() == []


def test_a_running_task_is_asked_to_stop(alice: User) -> None:
    task = text_task(alice)
    claimed()

    job = carried_out(begin(Action.CANCEL_TASK, {"task": [str(task.pk)]}))

    assert counts(job) == ("finished", 1, 1, 0, 0)
    assert (fresh(task).status, fresh(task).cancel_requested_at) == ("processing", at(10))
    assert JobOutcome.objects.get().detail == "Its worker is asked to stop."


def test_what_ended_meanwhile_is_left_alone(alice: User) -> None:
    first, last = several(alice, 2)
    job = begin(Action.CANCEL_TASK, {"status": ["pending"]})
    work = bulk.carry_out(job.pk, tell=lambda: at(10))
    AIGenerationTask.objects.filter(pk=last.pk).update(status="completed", finished_at=NOW)
    list(work)

    assert fresh(first).status == "cancelled"
    assert fresh(last).status == "completed"


def test_failed_tasks_are_tried_again_and_their_letters_name_who(alice: User) -> None:
    dead = bury(alice, 3)
    several(alice, 2)

    job = carried_out(begin(Action.RETRY_TASK, {"provider": ["simulator"]}))

    assert counts(job) == ("finished", 3, 3, 0, 0)
    assert {fresh(task).status for task in dead} == {"pending"}
    assert set(DeadLetter.objects.values_list("resolution", "resolved_by")) == {("redriven", "carol")}
    assert QueueEntry.objects.count() == 5


def test_what_cannot_be_tried_again_hurts_only_itself(alice: User) -> None:
    purged, whole = bury(alice, 2)
    AIGenerationTask.objects.filter(pk=purged.pk).update(purged_at=NOW)

    job = carried_out(begin(Action.RETRY_TASK, {"status": ["failed"]}))

    assert counts(job) == ("finished", 2, 1, 0, 1)
    assert fresh(whole).status == "pending"
    assert "not kept any more" in JobOutcome.objects.get(outcome="failed").detail


def test_a_full_queue_makes_the_job_wait_not_fail(alice: User) -> None:
    bury(alice, 3)
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.update(hard_mark=2)

    job = carried_out(begin(Action.RETRY_TASK, {"status": ["failed"]}))

    assert counts(job) == ("running", 3, 2, 0, 0)
    assert job.due_at == at(15)
    TaskQueue.objects.update(hard_mark=100)
    assert counts(carried_out(job, 400)) == ("finished", 3, 3, 0, 0)


def test_all_matching_get_another_priority(alice: User) -> None:
    waiting = several(alice, 3)
    running = text_task(alice, priority=Priority.HIGH)
    claimed()

    job = carried_out(begin(Action.REPRIORITISE, {"user": ["alice"]}, priority=int(Priority.URGENT)))

    assert counts(job) == ("finished", 3, 3, 0, 0)
    assert {fresh(task).priority for task in waiting} == {entry_of(task).priority for task in waiting} == {0}
    assert fresh(running).priority == Priority.HIGH
    assert JobOutcome.objects.earliest("id").detail == "It was normal."


def test_a_running_task_is_taken_from_its_worker_which_can_finish_it_no_more(alice: User) -> None:
    task = text_task(alice)
    held = claimed()
    text_task(alice)

    job = carried_out(begin(Action.RELEASE_LEASE, {"provider": ["simulator"]}))

    assert counts(job) == ("finished", 1, 1, 0, 0)
    assert (fresh(task).status, fresh(task).crashes) == ("pending", 1)
    assert not AIGenerationTask.objects.complete(task.pk, held.epoch, answer(), now=at(11))
    assert fresh(task).status == "pending"
    assert violations() == []


def test_only_leases_that_are_lost_or_late_are_meant_where_that_is_said(alice: User) -> None:
    task = text_task(alice)
    claimed()

    def meant(leases: str, ends_in: float) -> bool:
        QueueEntry.objects.update(leased_until=clock.now() + timedelta(seconds=ends_in))
        chosen = selection.checked({"leases": [leases]})
        return selection.tasks(Action.RELEASE_LEASE, chosen).filter(pk=task.pk).exists()

    assert (meant("lost", -1), meant("lost", 10), meant("late", 10), meant("late", 60)) == (True, False, True, False)
    with pytest.raises(BadFilter):
        selection.checked({"leases": ["found"]})


def test_letters_are_discarded_and_their_tasks_stay(alice: User) -> None:
    bury(alice, 3)
    bury(alice, 1, error_class="overloaded")
    filters = TaskQueue.objects.open_only({"error_class": "unavailable"})

    job = carried_out(bulk.begin(Action.DISCARD, filters, by(now=at(1))))

    assert counts(job) == ("finished", 3, 3, 0, 0)
    assert DeadLetter.objects.open().count() == 1
    assert AIGenerationTask.objects.failed().count() == 4
    assert DeadLetter.objects.filter(resolution="discarded").latest("id").resolution_reason == "Because."


def test_a_stopped_job_does_nothing_more_and_a_resumed_one_the_rest(alice: User) -> None:
    several(alice, 120)
    job = begin(Action.CANCEL_TASK, {"user": ["alice"]})
    work = bulk.carry_out(job.pk, tell=lambda: at(10))
    next(work)

    assert stop_job(job, by(now=at(11)))
    assert list(work) == []

    assert AIGenerationTask.objects.filter(status="cancelled").count() == 50
    assert counts(carried_out(job, 100)) == ("stopped", 120, 50, 0, 0)
    assert resume_job(job, by(now=at(101)))
    assert not resume_job(job, by(now=at(101)))
    assert counts(carried_out(job, 102)) == ("finished", 120, 120, 0, 0)
    assert [entry.action for entry in AuditEntry.objects.all()] == ["resume-job", "stop-job", "cancel-task"]


@pytest.mark.django_db(transaction=True)
def test_of_many_runners_at_once_one_works(alice: User) -> None:
    several(alice, 60)
    job = begin(Action.CANCEL_TASK, {"user": ["alice"]})

    at_once([lambda: len(list(bulk.carry_out(job.pk, tell=lambda: at(10))))] * 4)

    assert counts(BulkJob.objects.get(pk=job.pk)) == ("finished", 60, 60, 0, 0)
    assert JobOutcome.objects.count() == 60
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_two_thousand_are_done_once_by_a_runner_that_is_killed_and_another(alice: User) -> None:
    bury(alice, MANY)
    job = bulk.begin(Action.RETRY_TASK, selection.checked({"user": ["alice"]}), by(now=clock.now()))
    command = [
        sys.executable,
        "-m",
        "tests.ai_tasks.ops.bulk_runner",
        str(connection.settings_dict["NAME"]),
        str(job.pk),
    ]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(3):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)

    killed = BulkJob.objects.get(pk=job.pk)
    assert 150 <= killed.done == QueueEntry.objects.count() == JobOutcome.objects.count() < MANY
    assert list(bulk.carry_out(job.pk)) == [], "its lease has not passed"
    for _ in bulk.carry_out(job.pk, tell=lambda: clock.now() + LEASE):
        pass

    assert counts(BulkJob.objects.get(pk=job.pk)) == ("finished", MANY, MANY, 0, 0)
    assert QueueEntry.objects.count() == JobOutcome.objects.count() == MANY
    assert violations() == []


def test_beat_has_a_worker_go_on_with_due_jobs(alice: User, settings: Any) -> None:
    several(alice, 2)
    job = begin(Action.CANCEL_TASK, {"user": ["alice"]})

    tasks.bulk_job.apply(kwargs={"job_id": str(job.pk), "told_by": "another version"})

    assert counts(BulkJob.objects.get(pk=job.pk)) == ("finished", 2, 2, 0, 0)


@pytest.mark.parametrize(
    "given",
    [
        {"task": ["x"]},
        {"task": ["1"] * 1_001},
        {"user": ["nobody"]},
        {"priority": ["fast"]},
        {"status": ["a\x00"]},
        {"provider": ["x" * 201]},
        {"created_after": "yesterday"},
        {"pk__in": ["1"]},
        {"owner__password": ["x"]},
    ],
    ids=str,
)
def test_a_wrong_filter_is_refused(db: None, given: dict[str, Any]) -> None:
    with pytest.raises(BadFilter):
        selection.checked(given)


def test_tasks_are_chosen_by_what_people_see(alice: User, bob: User) -> None:
    mine = text_task(alice, priority=Priority.HIGH)
    text_task(bob)

    def found(**given: Any) -> list[UUID]:
        chosen = selection.checked(given)
        return list(selection.tasks(Action.CANCEL_TASK, chosen).values_list("pk", flat=True))

    assert found(user=["alice"], status=["pending"], priority=["high"], provider=["simulator"]) == [mine.pk]
    assert found(id=[str(mine.pk)]) == found(task=[str(mine.pk)]) == [mine.pk]
    assert found(user=["alice"], status=["completed"]) == []
    assert found(user=["alice"], created_before=NOW.isoformat()) == []
