"""TaskQueue.objects.reorder_by_priority: the order is derived anew."""

from uuid import UUID, uuid4

from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState, Priority
from tests.engine import NOW, WORKER, at
from tests.queueing.conftest import ALICE, BOB, Enqueue


def order(limit: int = 10) -> list[UUID]:
    return [entry.task_id for entry in TaskQueue.objects.peek("simulator", limit, now=NOW)]


def test_a_chosen_entry_moves_to_its_new_class(enqueue: Enqueue) -> None:
    first, second = enqueue(), enqueue()

    moved = TaskQueue.objects.reorder_by_priority({second.task_id: Priority.URGENT})

    assert moved == 1
    assert order() == [second.task_id, first.task_id]


def test_one_that_credit_pays_for_goes_behind_all_of_its_users(enqueue: Enqueue) -> None:
    first, second = enqueue(tokens=40), enqueue(tokens=500)

    TaskQueue.objects.reorder_by_priority({first.task_id: Priority(first.priority)})

    assert order() == [second.task_id, first.task_id]


def test_the_order_of_a_provider_follows_changed_priorities(enqueue: Enqueue) -> None:
    first, second, third = enqueue(), enqueue(), enqueue()
    QueueEntry.objects.filter(pk=third.pk).update(priority=Priority.HIGH)

    moved = TaskQueue.objects.reorder_by_priority(provider="simulator")

    assert moved == 3
    assert order() == [third.task_id, first.task_id, second.task_id]


def test_a_second_time_changes_nothing_of_the_order(enqueue: Enqueue) -> None:
    for number in range(12):
        enqueue(owner_id=ALICE + number % 3, priority=Priority(number % 5), tokens=10 + number)
    TaskQueue.objects.reorder_by_priority(provider="simulator")
    before = order(12)

    TaskQueue.objects.reorder_by_priority(provider="simulator")

    assert order(12) == before


def test_fair_shares_hold_in_the_new_order(enqueue: Enqueue) -> None:
    for owner in (ALICE, BOB):
        for _ in range(5):
            enqueue(owner_id=owner)

    TaskQueue.objects.reorder_by_priority(provider="simulator")

    owners = dict(QueueEntry.objects.values_list("task_id", "owner_key"))
    first_four = [owners[task_id] for task_id in order(4)]
    assert first_four.count(str(ALICE)) == first_four.count(str(BOB)) == 2


def test_what_was_handed_over_stays(enqueue: Enqueue) -> None:
    entry = enqueue()
    TaskQueue.objects.dequeue("simulator", worker=WORKER, now=NOW)

    moved = TaskQueue.objects.reorder_by_priority({entry.task_id: Priority.URGENT})

    entry.refresh_from_db()
    assert (moved, entry.priority, entry.state) == (0, Priority.NORMAL, EntryState.RUNNING)


def test_a_parked_entry_gets_its_new_place_and_stays_parked(enqueue: Enqueue) -> None:
    entry = enqueue(run_at=at(60))

    TaskQueue.objects.reorder_by_priority({entry.task_id: Priority.HIGH})

    entry.refresh_from_db()
    assert (entry.priority, entry.state) == (Priority.HIGH, EntryState.PARKED)


def test_unknown_tasks_and_other_providers_are_left_alone(enqueue: Enqueue) -> None:
    entry = enqueue(provider="other")
    before = entry.fair_tag

    assert TaskQueue.objects.reorder_by_priority({uuid4(): Priority.HIGH}) == 0
    assert TaskQueue.objects.reorder_by_priority(provider="simulator") == 0
    assert TaskQueue.objects.reorder_by_priority() == 0

    entry.refresh_from_db()
    assert entry.fair_tag == before
