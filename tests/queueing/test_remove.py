"""TaskQueue.objects.remove and forget: a place is given up."""

from uuid import uuid4

from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState
from tests.engine import NOW, WORKER, at
from tests.queueing.conftest import Enqueue


def test_a_waiting_entry_goes(enqueue: Enqueue) -> None:
    entry = enqueue()

    assert TaskQueue.objects.remove(entry.task_id, now=NOW)
    assert not QueueEntry.objects.exists()


def test_a_parked_entry_goes(enqueue: Enqueue) -> None:
    entry = enqueue(run_at=at(60))

    assert TaskQueue.objects.remove(entry.task_id, now=NOW)
    assert not QueueEntry.objects.exists()


def test_a_running_entry_is_asked_to_stop_and_stays(enqueue: Enqueue) -> None:
    entry = enqueue()
    TaskQueue.objects.dequeue("simulator", worker=WORKER, now=NOW)

    assert not TaskQueue.objects.remove(entry.task_id, now=at(1))

    entry.refresh_from_db()
    assert (entry.state, entry.cancel_requested_at) == (EntryState.RUNNING, at(1))


def test_asking_again_keeps_the_first_time(enqueue: Enqueue) -> None:
    entry = enqueue()
    TaskQueue.objects.dequeue("simulator", worker=WORKER, now=NOW)
    TaskQueue.objects.remove(entry.task_id, now=at(1))

    TaskQueue.objects.remove(entry.task_id, now=at(2))

    entry.refresh_from_db()
    assert entry.cancel_requested_at == at(1)


def test_a_task_without_an_entry_is_no_mistake(db: None) -> None:
    assert not TaskQueue.objects.remove(uuid4(), now=NOW)


def test_an_entry_that_has_moved_on_is_not_forgotten_by_who_saw_it_before(enqueue: Enqueue) -> None:
    seen = enqueue()
    TaskQueue.objects.dequeue("simulator", worker=WORKER, now=NOW)

    assert not TaskQueue.objects.forget(seen)
    assert QueueEntry.objects.count() == 1


def test_removing_the_first_of_a_series_wakes_the_next(enqueue: Enqueue) -> None:
    first = enqueue(serial_key="chat:1")
    second = enqueue(serial_key="chat:1")
    TaskQueue.objects.dequeue("simulator", 2, worker=WORKER, now=NOW)
    QueueEntry.objects.filter(pk=first.pk).wake()

    TaskQueue.objects.remove(first.task_id, now=NOW)

    second.refresh_from_db()
    assert second.state == EntryState.WAITING
