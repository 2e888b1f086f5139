"""The marks: of a queue, of a user in it, and in total; exact, cheap, and with a measured retry-after."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from queueing import backpressure
from queueing.errors import QueueFull
from queueing.models import FairShare, FlowSample, QueueEntry, TaskQueue
from queueing.states import Priority
from tests.engine import NOW, WORKER, at, at_once
from tests.queueing.conftest import ALICE, BOB, Enqueue, Job

LARGE = backpressure.ALWAYS_COUNTED + 200


@pytest.fixture(autouse=True)
def _counted_anew() -> Iterator[None]:
    backpressure.forget()
    yield
    backpressure.forget()


def set_marks(**marks: int | None) -> TaskQueue:
    queue = TaskQueue.objects.queue("simulator")
    TaskQueue.objects.filter(pk=queue.pk).update(**{"soft_mark": None, "hard_mark": None, "user_mark": None} | marks)
    return queue


def fill(count: int) -> None:
    jobs = [Job() for _ in range(count)]
    QueueEntry.objects.bulk_create(
        QueueEntry(
            task_id=job.id,
            provider="simulator",
            model="sim-1",
            owner_key=str(ALICE),
            deadline_at=job.deadline_at,
            enqueued_at=NOW,
        )
        for job in jobs
    )


def counts(queries: CaptureQueriesContext) -> list[str]:
    return [each["sql"] for each in queries if "COUNT" in each["sql"].upper()]


def test_a_user_at_their_mark_is_refused_and_others_are_not(enqueue: Enqueue) -> None:
    set_marks(user_mark=2)
    enqueue(owner_id=ALICE)
    enqueue(owner_id=ALICE)

    with pytest.raises(QueueFull, match="You have 2 entries") as refusal:
        enqueue(owner_id=ALICE)
    enqueue(owner_id=BOB)

    assert (refusal.value.scope, refusal.value.depth, refusal.value.mark) == ("user", 2, 2)
    assert TaskQueue.objects.is_queue_full("simulator", owner_id=ALICE)
    assert not TaskQueue.objects.is_queue_full("simulator", owner_id=BOB)


def test_the_total_mark_counts_all_queues(enqueue: Enqueue, settings: Any) -> None:
    settings.AI_QUEUE_TOTAL_MARK = 2
    enqueue(provider="one")
    enqueue(provider="two")

    with pytest.raises(QueueFull, match="All queues together") as refusal:
        enqueue(provider="three")

    assert refusal.value.scope == "total"
    assert not QueueEntry.objects.filter(provider="three").exists()


def test_from_the_soft_mark_on_bulk_work_is_refused_and_the_rest_is_not(enqueue: Enqueue) -> None:
    set_marks(soft_mark=1, hard_mark=3)
    enqueue()

    with pytest.raises(QueueFull) as refusal:
        enqueue(priority=Priority.BULK)
    enqueue(priority=Priority.LOW)

    assert refusal.value.mark == 1


def test_the_statistics_tell_the_pressure(enqueue: Enqueue) -> None:
    set_marks(soft_mark=2, hard_mark=3)
    told = []
    for _ in range(3):
        enqueue()
        told.append(TaskQueue.objects.get_queue_stats("simulator", now=NOW)["pressure"])

    assert told == ["normal", "high", "full"]


def test_a_place_that_is_freed_is_given_at_once(enqueue: Enqueue) -> None:
    set_marks(hard_mark=1)
    first = enqueue()
    with pytest.raises(QueueFull):
        enqueue()

    TaskQueue.objects.remove(first.task_id, now=NOW)

    assert enqueue().pk


def test_a_large_mark_is_exact_too(enqueue: Enqueue) -> None:
    set_marks(hard_mark=LARGE)
    fill(LARGE - 5)
    for _ in range(5):
        enqueue(owner_id=BOB)
    shares = list(FairShare.objects.values())

    with pytest.raises(QueueFull) as refusal:
        enqueue(owner_id=BOB)

    assert (refusal.value.depth, QueueEntry.objects.count()) == (LARGE, LARGE)
    assert list(FairShare.objects.values()) == shares


def test_a_large_queue_is_counted_once_for_as_many_as_there_is_room_for(enqueue: Enqueue) -> None:
    set_marks(hard_mark=LARGE)
    fill(LARGE - 100)
    enqueue()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        for _ in range(99):
            enqueue()

    assert counts(queries) == []
    assert QueueEntry.objects.count() == LARGE


def test_entries_that_left_make_room_after_the_next_count(enqueue: Enqueue) -> None:
    set_marks(hard_mark=LARGE)
    fill(LARGE - 1)
    enqueue()
    QueueEntry.objects.filter(pk__in=QueueEntry.objects.values("pk")[:50]).delete()

    for _ in range(50):
        enqueue()

    assert QueueEntry.objects.count() == LARGE


def test_a_large_full_queue_refuses_without_a_look_for_a_second(enqueue: Enqueue) -> None:
    set_marks(hard_mark=LARGE)
    fill(LARGE)
    with pytest.raises(QueueFull):
        enqueue()

    with CaptureQueriesContext(connection) as queries, pytest.raises(QueueFull) as refusal:
        enqueue()

    assert counts(queries) == []
    assert not any("INSERT" in each["sql"] for each in queries)
    assert refusal.value.depth == LARGE


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mark", [20, LARGE])
def test_a_mark_is_passed_by_no_more_than_the_concurrent_submitters(mark: int) -> None:
    set_marks(hard_mark=mark)
    fill(mark - 20)
    submitters = 8

    def submit_until_full() -> int:
        for number in range(40):
            try:
                TaskQueue.objects.enqueue(Job(), now=NOW)
            except QueueFull:
                return number
        return 40

    outcomes = at_once([submit_until_full] * submitters)

    assert not [each for each in outcomes if isinstance(each, Exception)]
    assert mark <= QueueEntry.objects.count() <= mark + submitters


def test_retry_after_is_the_time_in_which_a_hundredth_of_the_mark_starts(enqueue: Enqueue) -> None:
    set_marks(hard_mark=1000)
    fill(1000)
    TaskQueue.objects.note_flow(NOW)
    TaskQueue.objects.dequeue("simulator", 50, worker=WORKER, now=NOW)

    with pytest.raises(QueueFull) as refusal:
        enqueue(now=at(100))

    assert refusal.value.retry_after_seconds == 10 / (50 / 100) + 1


def test_retry_after_is_bounded_where_nothing_moves_and_a_guess_where_nothing_was_measured(enqueue: Enqueue) -> None:
    set_marks(hard_mark=0)

    with pytest.raises(QueueFull) as unmeasured:
        enqueue()
    TaskQueue.objects.note_flow(NOW)
    with pytest.raises(QueueFull) as still:
        enqueue(now=at(100))

    assert (unmeasured.value.retry_after_seconds, still.value.retry_after_seconds) == (30, 300)


def test_the_statistics_tell_how_fast_the_queue_moves_and_how_long_it_takes(enqueue: Enqueue) -> None:
    enqueue()
    TaskQueue.objects.note_flow(NOW)
    for _ in range(60):
        enqueue()
    TaskQueue.objects.dequeue("simulator", 30, worker=WORKER, now=at(1))

    stats = TaskQueue.objects.get_queue_stats("simulator", now=at(60))

    assert (stats["in_per_second"], stats["out_per_second"]) == (1.0, 0.5)
    assert stats["expected_wait_seconds"] == (31 + 1) / 0.5


def test_two_beats_take_one_sample_a_minute_and_old_ones_go(enqueue: Enqueue) -> None:
    enqueue()

    taken = [TaskQueue.objects.note_flow(at(seconds)) for seconds in (0, 1, 60, 61, 2000)]

    assert taken == [1, 0, 1, 0, 1]
    assert FlowSample.objects.count() == 1
