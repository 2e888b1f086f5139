"""submission.cancel: in every state, idempotent, and an answer that is complete wins."""

import pytest
from django.contrib.auth.models import User

from ai_tasks import lease, settlement
from ai_tasks.models import AIGenerationTask, Attempt, LedgerEntry
from ai_tasks.states import TaskStatus
from ai_tasks.submission import cancel
from config.chaos.invariants import violations, violations_at_rest
from providers.errors import Unavailable
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import WORKER, answer, at, at_once, attempt_of, claimed, entry_of, fresh, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def test_a_pending_task_ends_at_once(alice: User) -> None:
    task = cancel(text_task(alice), now=at(1))

    assert (task.status, task.finished_at, task.cancel_requested_at) == (TaskStatus.CANCELLED, at(1), at(1))
    assert not QueueEntry.objects.exists()
    assert violations_at_rest() == []


def test_a_parked_task_ends_at_once(alice: User) -> None:
    assert cancel(text_task(alice, run_at=at(60)), now=at(1)).status == TaskStatus.CANCELLED


def test_a_pending_task_whose_entry_is_missing_ends_too(alice: User) -> None:
    task = text_task(alice)
    QueueEntry.objects.all().delete()

    assert cancel(task, now=at(1)).status == TaskStatus.CANCELLED

    assert cancel(task, now=at(2)).finished_at == at(1)
    assert violations_at_rest() == []


def test_a_handed_over_task_ends_at_once_costs_nothing_and_its_message_finds_nothing(
    alice: User, make_budget: MakeBudget
) -> None:
    make_budget("1")
    task = text_task(alice)
    (dispatch,) = plan().dispatches

    assert cancel(task, now=at(1)).status == TaskStatus.CANCELLED

    begun = lease.begin(
        tasks.all(), task.pk, dispatch.epoch, dispatch_id=dispatch.dispatch_id, worker=WORKER, now=at(2)
    )
    assert begun is None
    assert attempt_of(task).state == "released"
    assert not LedgerEntry.objects.exists()
    assert violations_at_rest() == []


def test_a_running_task_is_asked_to_stop(alice: User) -> None:
    task = text_task(alice)
    claimed()

    asked = cancel(task, now=at(1))

    assert (asked.status, asked.cancel_requested_at) == (TaskStatus.PROCESSING, at(1))
    assert entry_of(task).cancel_requested_at == at(1)
    assert violations() == []


def test_a_stopped_task_is_cancelled_with_what_it_had_said_and_paid(alice: User) -> None:
    task = text_task(alice)
    claim = claimed()
    cancel(task, now=at(1))

    settlement.stop(tasks.all(), task.pk, claim.epoch, answer().usage, is_cancelled=True, now=at(2))

    assert fresh(task).status == TaskStatus.CANCELLED
    assert LedgerEntry.objects.get().amount_usd is not None
    assert violations_at_rest() == []


def test_an_answer_that_is_complete_wins(alice: User) -> None:
    task = text_task(alice)
    claim = claimed()
    cancel(task, now=at(1))

    assert tasks.complete(task.pk, claim.epoch, answer(), now=at(2))

    assert fresh(task).status == TaskStatus.COMPLETED
    assert violations_at_rest() == []


def test_an_error_after_the_wish_to_cancel_cancels(alice: User) -> None:
    task = text_task(alice)
    claim = claimed()
    cancel(task, now=at(1))

    tasks.fail(task.pk, claim.epoch, Unavailable(), now=at(2))

    assert fresh(task).status == TaskStatus.CANCELLED
    assert violations_at_rest() == []


def test_a_release_after_the_wish_to_cancel_cancels(alice: User) -> None:
    task = text_task(alice)
    claim = claimed()
    cancel(task, now=at(1))

    tasks.release_task(task.pk, claim.epoch, now=at(2))

    assert fresh(task).status == TaskStatus.CANCELLED


def test_cancelling_twice_changes_nothing_more(alice: User) -> None:
    task = text_task(alice)

    first, second = cancel(task, now=at(1)), cancel(task, now=at(2))

    assert (second.finished_at, second.cancel_requested_at) == (first.finished_at, first.cancel_requested_at)


def test_asking_a_running_task_twice_keeps_the_first_time(alice: User) -> None:
    task = text_task(alice)
    claimed()

    cancel(task, now=at(1))

    assert cancel(task, now=at(2)).cancel_requested_at == at(1)


def test_an_ended_task_stays_as_it_ended(alice: User) -> None:
    task = text_task(alice)
    claim = claimed()
    tasks.complete(task.pk, claim.epoch, answer(), now=at(1))

    after = cancel(task, now=at(2))

    assert (after.status, after.cancel_requested_at) == (TaskStatus.COMPLETED, None)


@pytest.mark.django_db(transaction=True)
def test_cancel_and_finish_at_once_end_the_task_once(alice: User) -> None:
    for _ in range(5):
        task = text_task(alice)
        claim = claimed()

        at_once(
            [
                lambda task=task: cancel(task, now=at(1)),  # type: ignore[misc]
                lambda claim=claim: tasks.complete(claim.task.pk, claim.epoch, answer(), now=at(1)),  # type: ignore[misc]
            ]
        )

        assert fresh(task).status == TaskStatus.COMPLETED
    assert violations_at_rest() == []
    assert LedgerEntry.objects.count() == Attempt.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_cancel_and_claim_at_once_leave_the_pair_whole(alice: User) -> None:
    for _ in range(5):
        task = text_task(alice)

        at_once([lambda task=task: cancel(task, now=at(1)), lambda: tasks.claim_next_pending_task(WORKER, now=at(1))])  # type: ignore[misc]

        assert fresh(task).cancel_requested_at == at(1)
        assert violations() == []
