"""Which entry is next: fair among users, aging among classes."""

from datetime import timedelta

from queueing.fairness import PATIENCE
from queueing.models import FairShare, QueueEntry, TaskQueue
from queueing.states import Priority
from tests.engine import NOW, WORKER, at
from tests.queueing.conftest import ALICE, BOB, Enqueue


def take(seconds: float = 0, limit: int = 1) -> list[QueueEntry]:
    return TaskQueue.objects.dequeue("simulator", limit, worker=WORKER, now=at(seconds))


def test_the_one_of_a_user_is_next_within_one_quantum_of_another_users_200(enqueue: Enqueue) -> None:
    for _ in range(200):
        enqueue(owner_id=ALICE)
    take(limit=50)

    one = enqueue(owner_id=BOB)

    assert one.task_id in [entry.task_id for entry in take(limit=2)]


def test_two_users_with_floods_take_turns(enqueue: Enqueue) -> None:
    for owner in (ALICE, BOB):
        for _ in range(30):
            enqueue(owner_id=owner)

    first = [entry.owner_key for entry in take(limit=20)]

    assert first.count(str(ALICE)) == first.count(str(BOB)) == 10


def test_shares_are_of_tokens_not_of_tasks(enqueue: Enqueue) -> None:
    for _ in range(30):
        enqueue(owner_id=ALICE, tokens=300)
        enqueue(owner_id=BOB, tokens=100)

    first = [entry.owner_key for entry in take(limit=20)]

    assert first.count(str(ALICE)) == 5
    assert first.count(str(BOB)) == 15


def test_a_user_with_twice_the_weight_gets_twice_as_much(enqueue: Enqueue) -> None:
    enqueue(owner_id=ALICE)
    FairShare.objects.filter(owner_key=str(ALICE)).update(weight=2.0, last_tag=0.0)
    QueueEntry.objects.all().delete()
    for owner in (ALICE, BOB):
        for _ in range(30):
            enqueue(owner_id=owner)

    first = [entry.owner_key for entry in take(limit=15)]

    assert first.count(str(ALICE)) == 10


def test_whoever_was_away_earns_no_credit(enqueue: Enqueue) -> None:
    for _ in range(50):
        enqueue(owner_id=ALICE)
    take(limit=40)

    for _ in range(10):
        enqueue(owner_id=BOB)

    next_ones = [entry.owner_key for entry in take(limit=10)]
    assert next_ones.count(str(ALICE)) == next_ones.count(str(BOB)) == 5


def test_entries_of_one_user_in_one_class_keep_their_order(enqueue: Enqueue) -> None:
    entries = [enqueue(tokens=10 + number % 3) for number in range(10)]

    assert [entry.task_id for entry in take(limit=10)] == [entry.task_id for entry in entries]


def test_under_an_urgent_flood_each_class_gets_a_start_within_its_patience(enqueue: Enqueue) -> None:
    waiting = {priority: enqueue(priority=priority) for priority in Priority if priority != Priority.URGENT}
    started: dict[int, float] = {}

    for second in range(0, 1000, 5):
        enqueue(priority=Priority.URGENT, now=at(second))
        enqueue(priority=Priority.URGENT, now=at(second))
        (entry,) = take(second)
        started.setdefault(entry.priority, second)

    for priority in waiting:
        waited = timedelta(seconds=started[priority])
        assert PATIENCE[priority] < waited <= PATIENCE[priority] + timedelta(seconds=25), priority


def test_aged_work_does_not_take_over_under_a_flood(enqueue: Enqueue) -> None:
    for _ in range(50):
        enqueue(priority=Priority.NORMAL)

    taken = []
    for second in range(0, 600, 5):
        enqueue(priority=Priority.URGENT, now=at(second))
        enqueue(priority=Priority.URGENT, now=at(second))
        taken.append(take(second)[0].priority)

    assert 8 <= taken.count(Priority.NORMAL) <= 10


def test_an_urgent_entry_that_comes_to_an_idle_class_never_finds_an_aged_one_ahead(enqueue: Enqueue) -> None:
    enqueue(priority=Priority.BULK)
    enqueue(priority=Priority.NORMAL)

    urgent = enqueue(priority=Priority.URGENT, now=at(5_000))

    assert take(5_000)[0].task_id == urgent.task_id


def test_nor_when_urgent_work_was_served_before_the_other_had_waited_for_long(enqueue: Enqueue) -> None:
    enqueue(priority=Priority.NORMAL)
    enqueue(priority=Priority.URGENT, now=at(1))
    take(1)

    urgent = enqueue(priority=Priority.URGENT, now=at(500))

    assert take(500)[0].task_id == urgent.task_id


def test_an_aged_entry_goes_before_the_second_urgent_one(enqueue: Enqueue) -> None:
    aged = enqueue(priority=Priority.NORMAL)
    enqueue(priority=Priority.URGENT, now=at(500))
    enqueue(priority=Priority.URGENT, now=at(500))
    take(500)

    assert take(501)[0].task_id == aged.task_id


def test_one_statement_gives_the_next_tag_from_the_clock_of_the_class(enqueue: Enqueue) -> None:
    for _ in range(3):
        enqueue(tokens=100)
    take(limit=2)

    entry = enqueue(owner_id=BOB, tokens=100)

    assert entry.fair_tag == 300
    assert TaskQueue.objects.get().classes.get(priority=Priority.NORMAL).virtual_time == 200
    assert entry.enqueued_at == NOW
