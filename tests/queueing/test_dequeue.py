"""TaskQueue.objects.dequeue and peek: the same order, one taking, the other not."""

from datetime import timedelta
from uuid import UUID

import pytest

from queueing.models import PriorityClass, QueueEntry, TaskQueue
from queueing.states import EntryState, Lane, ParkedReason, Priority
from tests.engine import NOW, WORKER, at, at_once
from tests.queueing.conftest import ALICE, BOB, Enqueue, Job


def taken(limit: int = 1, **options: object) -> list[QueueEntry]:
    return TaskQueue.objects.dequeue("simulator", limit, worker=WORKER, now=NOW, **options)  # type: ignore[arg-type]


def ids(entries: list[QueueEntry]) -> list[UUID]:
    return [entry.task_id for entry in entries]


def test_an_entry_is_leased_with_its_epoch_one_higher(enqueue: Enqueue) -> None:
    enqueue(epoch=4)

    (entry,) = taken(lease=timedelta(seconds=30))

    entry.refresh_from_db()
    assert (entry.state, entry.epoch, entry.worker) == (EntryState.RUNNING, 5, WORKER)
    assert entry.leased_until == at(30)


def test_what_is_taken_is_not_taken_again(enqueue: Enqueue) -> None:
    enqueue()
    taken()

    assert taken() == []


def test_an_empty_queue_gives_nothing(db: None) -> None:
    assert taken() == []
    assert TaskQueue.objects.peek("simulator", 5, now=NOW) == []


def test_peek_tells_the_order_in_which_dequeue_takes(enqueue: Enqueue) -> None:
    for number in range(24):
        enqueue(priority=Priority(number % 5), owner_id=ALICE + number % 3, tokens=10 + number * 7 % 50)

    told = ids(TaskQueue.objects.peek("simulator", 24, now=NOW))

    assert len(set(told)) == 24
    assert ids(taken(24)) == told


def test_peek_tells_the_same_when_entries_are_taken_one_by_one(enqueue: Enqueue) -> None:
    for number in range(10):
        enqueue(priority=Priority(number % 5), owner_id=ALICE + number % 2, tokens=10 + number)

    told = ids(TaskQueue.objects.peek("simulator", 10, now=NOW))

    assert [ids(taken())[0] for _ in range(10)] == told


def test_peek_changes_nothing(enqueue: Enqueue) -> None:
    enqueue()
    before = list(QueueEntry.objects.values()), list(PriorityClass.objects.values())

    TaskQueue.objects.peek("simulator", 1, now=NOW)

    assert (list(QueueEntry.objects.values()), list(PriorityClass.objects.values())) == before


def test_more_important_classes_go_first(enqueue: Enqueue) -> None:
    entries = [enqueue(priority=priority) for priority in reversed(Priority)]

    assert ids(taken(5)) == ids(entries[::-1])


def test_a_paused_queue_gives_nothing_until_the_pause_ends(enqueue: Enqueue) -> None:
    enqueue()
    TaskQueue.objects.pause("simulator", reason="maintenance", until=at(10), now=NOW)

    assert taken() == []
    assert len(TaskQueue.objects.dequeue("simulator", worker=WORKER, now=at(10))) == 1


def test_a_resumed_queue_gives_again(enqueue: Enqueue) -> None:
    enqueue()
    TaskQueue.objects.pause("simulator", reason="maintenance", now=NOW)

    TaskQueue.objects.resume("simulator")

    assert len(taken()) == 1


def test_parked_entries_and_other_lanes_are_passed_over(enqueue: Enqueue) -> None:
    enqueue(run_at=at(60))
    enqueue(lane=Lane.LONG)
    enqueue(provider="other")

    assert taken(5) == []
    assert len(taken(5, lane=Lane.LONG)) == 1


def test_of_a_serial_key_one_runs_at_a_time_in_order(enqueue: Enqueue) -> None:
    first, second = enqueue(serial_key="chat:1"), enqueue(serial_key="chat:1")

    assert ids(taken(5)) == [first.task_id]

    second.refresh_from_db()
    assert (second.state, second.parked_reason, second.parked_key) == ("parked", "earlier_reply", "chat:1")


def test_what_waited_for_its_serial_key_is_woken_by_the_end_of_the_earlier_one(enqueue: Enqueue) -> None:
    enqueue(serial_key="chat:1")
    second = enqueue(serial_key="chat:1")
    (first,) = taken(5)

    TaskQueue.objects.forget(first)

    assert ids(taken()) == [second.task_id]


def test_a_refused_head_does_not_hide_the_runnable_ones_behind_it(enqueue: Enqueue) -> None:
    enqueue(serial_key="chat:1")
    taken()
    for _ in range(3):
        enqueue(serial_key="chat:1", tokens=1)
    runnable = enqueue(tokens=500)

    assert ids(taken(1)) == [runnable.task_id]


def test_a_serial_key_holds_even_when_an_earlier_entry_shows_up_late(enqueue: Enqueue) -> None:
    """Ids are given out before their transactions commit: a smaller one may become visible after a larger one runs."""
    late = enqueue(serial_key="chat:1")
    QueueEntry.objects.filter(pk=late.pk).update(state=EntryState.PARKED, parked_reason=ParkedReason.SCHEDULED)
    running = enqueue()
    taken(1)
    QueueEntry.objects.filter(pk=running.pk).update(serial_key="chat:1")
    QueueEntry.objects.filter(pk=late.pk).wake()

    assert taken(1) == []

    late.refresh_from_db()
    assert (late.state, late.parked_reason) == (EntryState.PARKED, ParkedReason.EARLIER_REPLY)


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_never_get_the_same_entry() -> None:
    for owner in (ALICE, BOB):
        for _ in range(20):
            TaskQueue.objects.enqueue(Job(owner_id=owner), now=NOW)

    def work(worker: int) -> list[UUID]:
        got: list[UUID] = []
        for _ in range(20):
            leased = TaskQueue.objects.dequeue("simulator", 2, worker=UUID(int=worker), now=NOW)
            got.extend(ids(leased))
        return got

    outcomes = at_once([lambda worker=worker: work(worker) for worker in range(4)])  # type: ignore[misc]

    everything = [each for outcome in outcomes if isinstance(outcome, list) for each in outcome]
    assert len(everything) == len(set(everything)) == 40, outcomes
    assert set(QueueEntry.objects.values_list("epoch", flat=True)) == {1}
