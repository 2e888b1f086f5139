"""A redrive: which letters it sends, where to, and what becomes of the others."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User

from ai_tasks import submission
from ai_tasks.errors import UnknownModel
from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives import jobs
from ai_tasks.states import TaskStatus
from config.chaos.invariants import violations, violations_at_rest
from providers.errors import BadRequest
from queueing.errors import BadFilter
from queueing.models import DeadLetter, QueueEntry, Redrive, TaskQueue
from tests.ai_tasks.graves import bury, carried_out, counts, letter_of, redrive
from tests.engine import answer, at, claimed, entry_of, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def test_a_dead_task_is_pending_again_under_its_id_and_its_letter_says_who_and_why(alice: User) -> None:
    task = text_task(alice)
    tasks.fail(task.pk, claimed().epoch, BadRequest("No."), now=at(0))

    job = redrive(reason="It was our mistake.")

    again, letter = fresh(task), letter_of(task)
    assert (again.status, again.epoch, again.tries) == (TaskStatus.PENDING, 1, 0)
    assert (letter.resolution, letter.redrive, letter.redrive_outcome) == ("redriven", job, "sent")
    assert (letter.resolved_by, letter.resolution_reason) == ("carol", "It was our mistake.")
    assert (job.state, counts(job), job.finished_at) == ("finished", (1, 1, 0, 0), at(10))
    assert claimed(now=at(11)).epoch == 2
    assert violations() == []


def test_what_was_sent_back_runs_to_its_end(alice: User) -> None:
    task = bury(alice)[0]
    redrive()

    tasks.complete(task.pk, claimed(now=at(11)).epoch, answer(), now=at(12))

    assert fresh(task).status == TaskStatus.COMPLETED
    assert violations_at_rest() == []


def test_a_filter_chooses(alice: User, bob: User) -> None:
    mine, other = bury(alice, 3), bury(bob, 2, error_class="overloaded")

    job = redrive({"error_class": "unavailable", "owner": str(alice.pk)})

    assert counts(job) == (3, 3, 0, 0)
    assert {fresh(task).status for task in mine} == {"pending"}
    assert {fresh(task).status for task in other} == {"failed"}


def test_ids_of_letters_and_of_tasks_choose(alice: User) -> None:
    by_task, by_letter, by_row, other = bury(alice, 4)

    job = redrive([by_task.pk, str(letter_of(by_letter).pk), letter_of(by_row)])

    assert counts(job) == (3, 3, 0, 0)
    assert fresh(other).status == "failed"


def test_what_dies_after_the_job_was_made_is_not_sent_by_it(alice: User) -> None:
    bury(alice)
    job = jobs.begin({}, by="carol", now=at(-1))

    assert counts(carried_out(job, 10)) == (0, 0, 0, 0)
    assert DeadLetter.objects.open().count() == 1


def test_a_task_that_dies_again_meanwhile_is_sent_once(alice: User) -> None:
    task = bury(alice)[0]
    job = redrive()
    tasks.fail(task.pk, claimed(now=at(11)).epoch, BadRequest(), now=at(12))
    Redrive.objects.filter(pk=job.pk).update(state="running", cursor=None)

    assert counts(carried_out(job, 20)) == (1, 1, 0, 0)
    assert DeadLetter.objects.open().count() == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": "pending", "finished_at": None}, "Its task is pending."),
        ({"status": "completed"}, "Its task is completed."),
        ({"status": "cancelled"}, "Its task is cancelled."),
        ({"deleted_at": at(0)}, "Its task is deleted."),
        ({"route": [["gone", "m"]]}, "The provider gone is not set up."),
    ],
    ids=["live", "completed", "cancelled", "deleted", "provider gone"],
)
def test_what_cannot_be_sent_is_skipped_with_why_and_stays(alice: User, change: dict[str, Any], why: str) -> None:
    task, healthy = bury(alice, 2)
    tasks.filter(pk=task.pk).update(**change)

    job = redrive()

    letter = letter_of(task)
    assert counts(job) == (2, 1, 1, 0)
    assert (letter.resolution, letter.redrive_outcome, letter.redrive_detail) == ("open", "skipped", why)
    assert list(QueueEntry.objects.values_list("task_id", flat=True)) == [healthy.pk]


def test_a_letter_of_a_task_that_is_gone_is_skipped(alice: User) -> None:
    task = bury(alice)[0]
    tasks.filter(pk=task.pk).delete()

    assert counts(redrive()) == (1, 0, 1, 0)


def test_a_live_entry_is_never_doubled(alice: User) -> None:
    live = text_task(alice)
    tasks.filter(pk=live.pk).update(status="failed", finished_at=at(0))
    TaskQueue.objects.entries.filter(task_id=live.pk).update(enqueued_at=at(-9))
    bury_letter_for(live)

    job = redrive()

    assert counts(job) == (1, 0, 1, 0)
    assert entry_of(live).enqueued_at == at(-9)


def bury_letter_for(task: AIGenerationTask) -> None:
    DeadLetter.objects.create(task_id=task.pk, provider="simulator", reason="x", error_class="x", created_at=at(0))


def test_one_bad_letter_hurts_only_itself(alice: User) -> None:
    first, bad, last = bury(alice, 3)
    tasks.filter(pk=bad.pk).update(type="nobody.knows")

    job = redrive()

    assert counts(job) == (3, 2, 0, 1)
    assert (letter_of(bad).resolution, letter_of(bad).redrive_outcome) == ("open", "failed")
    assert "no task type" in letter_of(bad).redrive_detail
    assert {fresh(task).status for task in (first, last)} == {"pending"}


def test_what_was_retried_or_discarded_meanwhile_is_left_alone(alice: User) -> None:
    retried, discarded, dead = bury(alice, 3)
    job = jobs.begin({}, by="carol", now=at(1))
    submission.retry(retried, now=at(2))
    TaskQueue.objects.discard_from_dlq([discarded.pk], by="bob", reason="Old.", now=at(2))

    assert counts(carried_out(job, 10)) == (3, 1, 0, 0)
    assert [fresh(task).status for task in (retried, discarded, dead)] == ["pending", "failed", "pending"]
    assert QueueEntry.objects.count() == 2


def test_a_full_queue_makes_the_job_wait_and_fails_no_letter(alice: User) -> None:
    gone = bury(alice, 6)[0]
    tasks.filter(pk=gone.pk).update(deleted_at=at(0))
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.filter(provider="simulator", lane="default").update(hard_mark=2)

    waiting = redrive()
    assert (waiting.state, counts(waiting)) == ("running", (6, 2, 1, 0))
    assert waiting.due_at > at(10)

    TaskQueue.objects.filter(provider="simulator", lane="default").update(hard_mark=100)
    QueueEntry.objects.update(enqueued_at=at(9))
    assert counts(carried_out(waiting, 1_000)) == (6, 5, 1, 0)
    assert violations() == []


def test_one_users_full_share_holds_nobody_else_up(alice: User, bob: User) -> None:
    bury(alice, 120)
    bury(bob, 5)
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.filter(provider="simulator", lane="default").update(user_mark=10)

    job = redrive()

    assert (job.state, counts(job)) == ("running", (125, 15, 0, 0))
    assert QueueEntry.objects.filter(owner_key=str(bob.pk)).count() == 5


# Where to.

BOTH = [["simulator", "sim-1"], ["second", "sim-1"], ["simulator", "sim-large"]]


@pytest.mark.usefixtures("second_provider")
@pytest.mark.parametrize(
    ("route", "position", "provider", "place", "new_route"),
    [
        (BOTH, 1, "same", ("second", "sim-1", 1), BOTH),
        (BOTH, 0, "fallback", ("second", "sim-1", 1), BOTH),
        (BOTH, 0, "second", ("second", "sim-1", 1), BOTH),
        (BOTH, 1, "simulator/sim-large", ("simulator", "sim-large", 2), BOTH),
        (BOTH, 0, "second/sim-large", ("second", "sim-large", 0), [["second", "sim-large"], *BOTH]),
        ([BOTH[0]], 0, "second/sim-1", ("second", "sim-1", 0), [["second", "sim-1"]]),
    ],
    ids=["same", "fallback", "of its route", "model of its route", "another", "another, bound to it"],
)
def test_a_task_goes_where_the_job_says(
    alice: User, route: Any, position: int, provider: str, place: Any, new_route: Any
) -> None:
    task = bury(alice, route=route, route_position=position)[0]

    job = redrive(provider=provider)

    again, entry = fresh(task), entry_of(task)
    assert counts(job) == (1, 1, 0, 0)
    assert (again.provider, again.model, again.route_position) == place
    assert (entry.provider, entry.model) == place[:2]
    assert again.route == new_route


@pytest.mark.usefixtures("second_provider")
@pytest.mark.parametrize(
    ("provider", "why"),
    [("fallback", "Its route has no further candidate."), ("second", "Its route has no model of second")],
)
def test_a_task_that_cannot_go_there_is_skipped(alice: User, provider: str, why: str) -> None:
    task = bury(alice)[0]

    assert counts(redrive(provider=provider)) == (1, 0, 1, 0)
    assert letter_of(task).redrive_detail.startswith(why)


@pytest.mark.parametrize("provider", ["nobody", "nobody/m", "", "simulator/", "default", "same/x", "\x00"])
def test_an_unknown_provider_is_refused_and_nothing_is_stored(alice: User, provider: str) -> None:
    with pytest.raises(UnknownModel):
        jobs.begin({}, provider=provider, by="carol", now=at(1))

    assert not Redrive.objects.exists()


@pytest.mark.parametrize("chosen", [{"no_such": "x"}, {"resolution": "redriven"}, [], [UUID(int=1), "x"]], ids=str)
def test_an_unknown_choice_is_refused_and_nothing_is_stored(db: None, chosen: Any) -> None:
    with pytest.raises(BadFilter):
        jobs.begin(chosen, by="carol", now=at(1))

    assert not Redrive.objects.exists()
