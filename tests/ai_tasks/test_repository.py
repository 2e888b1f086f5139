"""AIGenerationTask.objects: finding, saving, deleting, counting."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.errors import NotPossible
from ai_tasks.models import AIGenerationTask
from ai_tasks.states import TaskStatus
from ai_tasks.submission import cancel
from config.chaos.invariants import violations, violations_at_rest
from providers.errors import BadRequest, Unavailable
from queueing.models import QueueEntry
from queueing.states import Lane, Priority
from tests.engine import NOW, WORKER, answer, at, claimed, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def completed(owner: User, *, seconds: float = 2) -> AIGenerationTask:
    task = text_task(owner)
    lease = claimed()
    tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(seconds))
    return fresh(task)


def failed(owner: User) -> AIGenerationTask:
    task = text_task(owner)
    lease = claimed()
    tasks.fail(lease.task.pk, lease.epoch, BadRequest("No."), now=at(1))
    return fresh(task)


def test_a_task_is_found_by_its_id(alice: User) -> None:
    task = text_task(alice)

    assert tasks.find_by_id(task.pk) == task
    assert tasks.find_by_id(uuid4()) is None


def test_pending_tasks_are_found_best_first_and_chainable(alice: User, bob: User) -> None:
    low, first, second = text_task(alice, priority=Priority.LOW), text_task(bob), text_task(alice)

    assert list(tasks.find_pending_tasks()) == [first, second, low]
    assert list(tasks.find_pending_tasks(user=alice)) == [second, low]
    assert list(tasks.find_pending_tasks().filter(owner=bob)) == [first]
    assert list(tasks.find_pending_tasks(limit=1)) == [first]
    assert list(tasks.find_pending_tasks(provider="second")) == []


def test_pending_tasks_are_found_by_lane_with_and_without_a_provider(alice: User) -> None:
    text_task(alice)

    assert tasks.find_pending_tasks(lane=Lane.DEFAULT).count() == 1
    assert tasks.find_pending_tasks(lane=Lane.LONG).count() == 0
    assert tasks.find_pending_tasks(provider="simulator", lane=Lane.LONG).count() == 0


def test_processing_tasks_are_found(alice: User) -> None:
    text_task(alice)
    task = claimed().task
    text_task(alice)

    assert list(tasks.find_processing_tasks()) == [task]
    assert tasks.find_pending_tasks().count() == 1


def test_failed_tasks_are_found_and_told_apart_by_whether_to_try_again(alice: User) -> None:
    hopeless = failed(alice)
    late = text_task(alice, deadline_seconds=1)
    lease = claimed()
    tasks.fail(late.pk, lease.epoch, Unavailable(), now=at(5))

    assert list(tasks.find_failed_tasks()) == [late, hopeless]
    assert list(tasks.find_failed_tasks(retryable=False)) == [hopeless]
    assert list(tasks.find_failed_tasks(retryable=True)) == [late]


def test_timed_out_tasks_are_those_whose_lease_or_deadline_has_passed(alice: User) -> None:
    text_task(alice, deadline_seconds=3600)
    text_task(alice, deadline_seconds=10)
    text_task(alice, deadline_seconds=5)
    long_deadline, short_deadline = claimed().task, claimed().task

    assert list(tasks.find_timed_out_tasks(at(5))) == []
    assert list(tasks.find_timed_out_tasks(at(11))) == [short_deadline]
    assert set(tasks.find_timed_out_tasks(at(91))) == {long_deadline, short_deadline}


def test_a_users_tasks_are_found_newest_first_and_active_ones_counted(alice: User, bob: User) -> None:
    first = completed(alice)
    second = text_task(alice)
    text_task(bob)

    assert list(tasks.find_by_user(alice)) == [second, first]
    assert (tasks.count_active_by_user(alice), tasks.count_active_by_user(bob)) == (1, 1)


def test_tasks_are_found_by_type_and_by_related_entity(alice: User) -> None:
    task = text_task(alice, related=("order", "7"))
    text_task(alice, related=("order", "8"))

    assert tasks.find_by_type("text.generate").count() == 2
    assert tasks.find_by_type("chat.reply").count() == 0
    assert list(tasks.find_by_related_entity("order", "7")) == [task]


def test_a_change_is_saved_after_validation(alice: User) -> None:
    task = text_task(alice)
    task.metadata = {"colour": "blue"}

    tasks.save(task)

    assert fresh(task).metadata == {"colour": "blue"}


def test_an_invalid_change_is_refused_and_changes_nothing(alice: User) -> None:
    task = text_task(alice)
    task.related_id, task.callback_url = "x" * 201, "not a url"

    with pytest.raises(ValidationError):
        tasks.save(task)

    assert fresh(task).callback_url == ""


def test_a_stale_save_raises_and_changes_nothing(alice: User) -> None:
    mine, theirs = text_task(alice), None
    theirs = fresh(mine)
    theirs.metadata = {"by": "bob"}
    tasks.save(theirs)
    mine.metadata = {"by": "alice"}

    with pytest.raises(NotPossible):
        tasks.save(mine)

    assert fresh(mine).metadata == {"by": "bob"}


def test_a_save_does_not_undo_what_the_walk_has_done_since(alice: User) -> None:
    seen = text_task(alice)
    claimed()
    cancel(seen, now=at(1))

    tasks.save(seen)

    now = fresh(seen)
    assert (now.status, now.epoch, now.cancel_requested_at) == (TaskStatus.PROCESSING, 1, at(1))
    assert violations() == []


def test_a_save_does_not_bring_a_deleted_task_back(alice: User) -> None:
    seen = text_task(alice)
    tasks.delete(fresh(seen), now=at(1))

    with pytest.raises(NotPossible):
        tasks.save(seen)

    assert tasks.find_by_id(seen.pk) is None


def test_a_deleted_waiting_task_is_cancelled_and_not_found(alice: User) -> None:
    task = text_task(alice)

    tasks.delete(task, now=at(1))

    assert tasks.find_by_id(task.pk) is None
    assert tasks.find_by_user(alice).count() == 0
    assert (fresh(task).status, fresh(task).deleted_at) == (TaskStatus.CANCELLED, at(1))
    assert violations_at_rest() == []


def test_a_deleted_running_task_is_asked_to_stop(alice: User) -> None:
    task = text_task(alice)
    claimed()

    tasks.delete(task, now=at(1))

    assert QueueEntry.objects.get().cancel_requested_at == at(1)


def test_the_ledger_of_a_deleted_task_stays(alice: User) -> None:
    task = completed(alice)

    tasks.delete(task, now=at(9))

    assert LedgerEntry.objects.filter(task=task).count() == 1
    assert fresh(task).status == TaskStatus.COMPLETED


def test_statuses_are_counted_zeros_included(alice: User) -> None:
    completed(alice)
    text_task(alice)

    counts = tasks.count_by_status()

    assert counts == dict.fromkeys(TaskStatus.values, 0) | {"completed": 1, "pending": 1}
    assert sum(tasks.count_by_status(since=at(7200)).values()) == 0
    assert sum(tasks.count_by_status(provider="second").values()) == 0


def test_the_mean_processing_time_is_of_completed_tasks(alice: User) -> None:
    assert tasks.calculate_average_processing_time() is None
    completed(alice, seconds=2)
    completed(alice, seconds=4)
    failed(alice)

    assert tasks.calculate_average_processing_time() == timedelta(seconds=3)
    assert tasks.calculate_average_processing_time(provider="simulator", type_name="text.generate") is not None
    assert tasks.calculate_average_processing_time(since=at(7200)) is None


def test_provider_statistics_tell_outcomes_and_exact_cost(alice: User) -> None:
    completed(alice)
    completed(alice)
    failed(alice)
    text_task(alice)

    told = tasks.get_provider_statistics()

    assert told == {"simulator": {"completed": 2, "failed": 1, "active": 1, "cost_usd": Decimal("0.000006")}}
    assert isinstance(told["simulator"]["cost_usd"], Decimal)


@pytest.mark.parametrize(
    "count",
    [
        lambda: tasks.count_by_status(),
        lambda: tasks.calculate_average_processing_time(),
        lambda: tasks.get_provider_statistics(),
    ],
)
def test_statistics_take_one_query(alice: User, count: object, django_assert_num_queries: object) -> None:
    completed(alice)

    with django_assert_num_queries(1):  # type: ignore[operator]
        count()  # type: ignore[operator]


def test_the_worker_of_a_claim_is_noted(alice: User) -> None:
    text_task(alice)

    claimed(WORKER)

    assert QueueEntry.objects.get().worker == WORKER
    assert fresh(tasks.get()).started_at == NOW
