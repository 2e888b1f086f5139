"""submission.retry: a person sends a dead task back."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from ai_tasks.errors import NotPossible, QueueFull
from ai_tasks.models import AIGenerationTask, LedgerEntry
from ai_tasks.states import TaskStatus
from ai_tasks.submission import cancel, retry
from config.chaos.invariants import violations, violations_at_rest
from providers.errors import BadRequest, ContextWindowExceeded
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from tests.engine import answer, at, at_once, attempt_of, claimed, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def dead(owner: User) -> AIGenerationTask:
    task = text_task(owner)
    tasks.fail(task.pk, claimed().epoch, BadRequest("No."), now=at(1))
    return fresh(task)


def test_a_failed_task_is_pending_again_under_the_same_id_and_its_epoch_goes_on(alice: User) -> None:
    task = dead(alice)

    again = retry(task, now=at(10))

    assert (again.pk, again.status, again.epoch) == (task.pk, TaskStatus.PENDING, 1)
    assert (again.error, again.finished_at, again.tries) == (None, None, 0)
    assert again.deadline_at > at(10)
    assert claimed(now=at(11)).epoch == 2
    assert violations() == []


def test_its_dead_letter_is_redriven(alice: User) -> None:
    task = dead(alice)

    retry(task, now=at(10))

    letter = DeadLetter.objects.get(task_id=task.pk)
    assert (letter.resolution, letter.resolved_at) == ("redriven", at(10))


def test_it_begins_at_the_first_candidate_of_its_route(alice: User, second_provider: None) -> None:
    task = text_task(alice, model="both")
    tasks.fail(task.pk, claimed().epoch, ContextWindowExceeded(), now=at(1))
    tasks.fail(task.pk, claimed(provider="second", now=at(2)).epoch, BadRequest(), now=at(3))

    again = retry(task, now=at(10))

    assert (again.provider, again.route_position) == ("simulator", 0)
    assert QueueEntry.objects.get().provider == "simulator"


def test_a_task_that_timed_out_can_be_tried_again(alice: User) -> None:
    task = text_task(alice, deadline_seconds=1)
    tasks.fail(task.pk, claimed().epoch, BadRequest(), now=at(5))
    assert fresh(task).status == TaskStatus.TIMED_OUT

    assert retry(task, now=at(10)).status == TaskStatus.PENDING


def test_what_it_cost_before_is_kept(alice: User) -> None:
    task = text_task(alice)
    error = BadRequest()
    error.usage = answer().usage
    tasks.fail(task.pk, claimed().epoch, error, now=at(1))
    retry(task, now=at(10))

    tasks.complete(task.pk, claimed(now=at(11)).epoch, answer(), now=at(12))

    assert fresh(task).cost_usd == 2 * Decimal("0.000003")
    assert LedgerEntry.objects.count() == 2
    assert violations_at_rest() == []


def test_a_live_task_is_returned_as_it_is(alice: User) -> None:
    pending = text_task(alice)
    assert retry(pending, now=at(1)).updated_at == fresh(pending).updated_at

    claimed()
    assert retry(pending, now=at(1)).status == TaskStatus.PROCESSING
    assert QueueEntry.objects.count() == 1


def test_a_completed_or_cancelled_task_cannot_be_tried_again(alice: User) -> None:
    completed = text_task(alice)
    tasks.complete(completed.pk, claimed().epoch, answer(), now=at(1))
    cancelled = cancel(text_task(alice), now=at(1))

    for task in (completed, cancelled):
        with pytest.raises(NotPossible):
            retry(task, now=at(10))

    assert not QueueEntry.objects.exists()


def test_a_full_queue_leaves_the_task_dead(alice: User) -> None:
    task = dead(alice)
    TaskQueue.objects.update(hard_mark=0)

    with pytest.raises(QueueFull):
        retry(task, now=at(10))

    assert fresh(task).status == TaskStatus.FAILED
    assert DeadLetter.objects.open().count() == 1
    assert violations_at_rest() == []


def test_a_late_result_of_the_dead_attempt_changes_nothing(alice: User) -> None:
    task = dead(alice)
    retry(task, now=at(10))

    assert not tasks.complete(task.pk, 1, answer(), now=at(11))

    assert fresh(task).status == TaskStatus.PENDING
    assert attempt_of(task).state == "failed"


@pytest.mark.django_db(transaction=True)
def test_of_many_who_retry_at_once_one_does(alice: User) -> None:
    task = dead(alice)

    outcomes = at_once([lambda: retry(task, now=at(10)).status] * 6)

    assert set(map(str, outcomes)) == {"pending"}
    assert QueueEntry.objects.count() == 1
    assert violations() == []
