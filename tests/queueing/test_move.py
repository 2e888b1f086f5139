"""TaskQueue.objects.move: on to another provider's queue. And what a queue tells of itself."""

from queueing.models import DeadLetter, QueueEntry, TaskQueue
from queueing.states import EntryState, Lane, ParkedReason, Priority
from tests.engine import NOW, WORKER, at
from tests.queueing.conftest import ALICE, BOB, Enqueue


def test_a_moved_entry_waits_in_the_other_queue_with_its_age(enqueue: Enqueue) -> None:
    entry = enqueue(priority=Priority.HIGH, lane=Lane.LONG)
    TaskQueue.objects.dequeue("simulator", lane=Lane.LONG, worker=WORKER, now=NOW)
    entry.refresh_from_db()

    TaskQueue.objects.move(entry, provider="second", model="big", now=at(5))

    entry.refresh_from_db()
    assert (entry.provider, entry.model, entry.lane, entry.priority) == ("second", "big", "long", Priority.HIGH)
    assert (entry.state, entry.worker, entry.dispatch_id, entry.leased_until) == ("waiting", None, None, None)
    assert (entry.enqueued_at, entry.epoch) == (NOW, 1)


def test_its_tag_is_of_the_other_queue(enqueue: Enqueue) -> None:
    for _ in range(10):
        enqueue(provider="second", owner_id=BOB)
    for _ in range(10):
        enqueue(owner_id=ALICE)
    last = QueueEntry.objects.of("simulator").order_by("-fair_tag")[0]

    TaskQueue.objects.move(last, provider="second", model="big", now=NOW)

    first_two = [entry.pk for entry in TaskQueue.objects.peek("second", 2, now=NOW)]
    assert last.pk in first_two


def test_the_length_of_a_queue_counts_every_live_entry(enqueue: Enqueue) -> None:
    enqueue()
    enqueue(run_at=at(60))
    enqueue(lane=Lane.LONG)
    enqueue(provider="second")
    TaskQueue.objects.dequeue("simulator", worker=WORKER, now=NOW)

    assert TaskQueue.objects.get_queue_length("simulator") == 3
    assert TaskQueue.objects.get_queue_length("simulator", lane=Lane.LONG) == 1
    assert TaskQueue.objects.get_queue_length("nobody") == 0


def test_the_statistics_tell_each_state_and_the_longest_wait(enqueue: Enqueue) -> None:
    entry = enqueue()
    enqueue(now=at(10))
    enqueue(run_at=at(60))
    QueueEntry.objects.filter(pk=entry.pk).update(state=EntryState.WAITING)
    parked = enqueue()
    QueueEntry.objects.filter(pk=parked.pk).park(reason=ParkedReason.BUDGET, key="1")
    DeadLetter.objects.create(provider="simulator", task_id=entry.task_id, created_at=NOW)

    stats = TaskQueue.objects.get_queue_stats("simulator", now=at(30))

    assert stats | {"oldest_wait_seconds": 30.0} == stats | {
        "waiting": 2,
        "parked": {"scheduled": 1, "budget": 1},
        "queued": 0,
        "running": 0,
        "dead": 1,
        "oldest_wait_seconds": 30.0,
    }


def test_waking_a_key_wakes_what_is_parked_for_it_and_nothing_else(enqueue: Enqueue) -> None:
    mine, other, scheduled = enqueue(), enqueue(), enqueue(run_at=at(60))
    QueueEntry.objects.filter(pk=mine.pk).park(reason=ParkedReason.BUDGET, key="1")
    QueueEntry.objects.filter(pk=other.pk).park(reason=ParkedReason.BUDGET, key="2")

    assert QueueEntry.objects.wake_key(ParkedReason.BUDGET, "1") == 1

    states = dict(QueueEntry.objects.values_list("pk", "state"))
    assert states == {mine.pk: "waiting", other.pk: "parked", scheduled.pk: "parked"}
