"""Shares: weights, what was really used, what was cancelled; and the strict order."""

import pytest

from queueing.entries import Estimate
from queueing.models import FairShare, QueueEntry, TaskQueue
from queueing.states import EntryState, Lane, Priority
from tests.engine import NOW, WORKER, at, at_once
from tests.queueing.conftest import ALICE, BOB, Enqueue, Job


def take(limit: int = 1, seconds: float = 0) -> list[QueueEntry]:
    return TaskQueue.objects.dequeue("simulator", limit, worker=WORKER, now=at(seconds))


def owners(entries: list[QueueEntry]) -> list[str]:
    return [entry.owner_key for entry in entries]


def forget(entry: QueueEntry, used_tokens: int) -> None:
    entry.refresh_from_db()
    assert TaskQueue.objects.forget(entry, used_tokens=used_tokens)


def test_a_weight_shares_the_class_in_its_proportion(enqueue: Enqueue) -> None:
    TaskQueue.objects.set_weight(ALICE, 3, provider="simulator")
    for owner in (ALICE, BOB):
        for _ in range(30):
            enqueue(owner_id=owner)

    assert owners(take(limit=20)).count(str(ALICE)) == 15


def test_a_changed_weight_rewrites_the_tags_of_what_waits_already(enqueue: Enqueue) -> None:
    for owner in (ALICE, BOB):
        for _ in range(40):
            enqueue(owner_id=owner)
    assert owners(take(limit=10)).count(str(ALICE)) == 5

    moved = TaskQueue.objects.set_weight(ALICE, 3, provider="simulator")

    assert moved == 35
    assert owners(take(limit=20)).count(str(ALICE)) == 15


def test_what_comes_after_a_change_of_weight_stands_behind_what_came_before(enqueue: Enqueue) -> None:
    first = [enqueue() for _ in range(5)]
    TaskQueue.objects.set_weight(ALICE, 0.5, provider="simulator")
    last = enqueue()

    assert [each.task_id for each in take(limit=6)] == [each.task_id for each in [*first, last]]


def test_a_weight_is_of_one_user_at_one_provider(enqueue: Enqueue) -> None:
    mine, other, elsewhere = enqueue(), enqueue(owner_id=BOB), enqueue(provider="other")

    TaskQueue.objects.set_weight(ALICE, 5, provider="simulator", lane=Lane.DEFAULT)

    tags = dict(QueueEntry.objects.values_list("pk", "fair_tag"))
    assert (tags[mine.pk], tags[other.pk], tags[elsewhere.pk]) == (20.0, 100.0, 100.0)
    assert set(FairShare.objects.filter(owner_key=str(BOB)).values_list("weight", flat=True)) == {1.0}


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(db: None, weight: float) -> None:
    with pytest.raises(ValueError):
        TaskQueue.objects.set_weight(ALICE, weight, provider="simulator")

    assert not FairShare.objects.exists()


def test_what_was_used_beyond_the_estimate_is_charged_with_the_next_tag(enqueue: Enqueue) -> None:
    enqueue(tokens=100)
    (entry,) = take()
    forget(entry, used_tokens=350)

    assert enqueue(tokens=100).fair_tag == 100 + 250 + 100
    assert enqueue(tokens=100).fair_tag == 550


def test_what_was_estimated_and_not_used_is_given_back_with_the_next_tag(enqueue: Enqueue) -> None:
    first, _ = enqueue(tokens=1000), enqueue(tokens=1000)
    take()
    forget(first, used_tokens=200)

    assert enqueue(tokens=1000).fair_tag == 2000 - 800 + 1000


def test_credit_is_never_spent_on_overtaking_ones_own_work(enqueue: Enqueue) -> None:
    first, second = enqueue(tokens=1000), enqueue(tokens=1000)
    take()
    forget(first, used_tokens=0)

    small = [enqueue(tokens=100) for _ in range(3)]

    assert [each.fair_tag for each in small] == [2000, 2000, 2000]
    assert FairShare.objects.get(priority=Priority.NORMAL).correction == -700
    assert [each.task_id for each in take(limit=4)] == [each.task_id for each in [second, *small]]


def test_credit_does_not_outlive_the_backlog(enqueue: Enqueue) -> None:
    entry = enqueue(tokens=1000)
    take()
    forget(entry, used_tokens=0)

    later = enqueue(tokens=100)

    assert later.fair_tag == 1000 + 100, "it starts at the clock, not before it"
    assert FairShare.objects.get(priority=Priority.NORMAL).correction == 0


def test_cancelled_work_is_given_back(enqueue: Enqueue) -> None:
    for _ in range(100):
        entry = enqueue()
        TaskQueue.objects.remove(entry.task_id, now=NOW)
    enqueue(owner_id=BOB)

    assert enqueue(owner_id=ALICE).fair_tag == 100
    assert owners(take(limit=2)) == [str(BOB), str(ALICE)]


def test_work_that_moves_to_another_queue_is_charged_there_alone(enqueue: Enqueue) -> None:
    first = enqueue(tokens=500)
    second = enqueue(tokens=500)
    TaskQueue.objects.move(second, provider="other", model="m", now=NOW)

    second.refresh_from_db()

    assert (second.provider, second.fair_tag) == ("other", 500)
    assert enqueue(tokens=500).fair_tag == 1000 > first.fair_tag


def test_a_strict_queue_never_lets_a_lesser_class_overtake(enqueue: Enqueue) -> None:
    aged = enqueue(priority=Priority.NORMAL)
    TaskQueue.objects.filter(provider="simulator").update(is_strict=True)
    taken = []
    for second in range(0, 2000, 100):
        for _ in range(2):
            enqueue(priority=Priority.URGENT, now=at(second))
        taken += take(seconds=second)

    assert aged.task_id not in [entry.task_id for entry in taken]
    rest = take(limit=30, seconds=2000)
    assert rest[-1].task_id == aged.task_id


@pytest.mark.django_db(transaction=True)
def test_a_weight_is_set_while_others_enqueue_take_and_cancel() -> None:
    for _ in range(30):
        TaskQueue.objects.enqueue(Job(), now=NOW)

    def enqueue_more() -> None:
        for _ in range(15):
            TaskQueue.objects.enqueue(Job(), now=NOW)

    def cancel_some() -> None:
        for task_id in QueueEntry.objects.order_by("pk").values_list("task_id", flat=True)[:10]:
            TaskQueue.objects.remove(task_id, now=NOW)

    def change() -> None:
        for weight in (2, 3, 4):
            TaskQueue.objects.set_weight(ALICE, weight, provider="simulator")
        TaskQueue.objects.reorder_by_priority(provider="simulator")

    outcomes = at_once([enqueue_more, cancel_some, change, lambda: len(take(limit=5))])

    assert not [each for each in outcomes if isinstance(each, Exception)], outcomes
    tags = list(QueueEntry.objects.waiting().order_by("pk").values_list("fair_tag", flat=True))
    assert tags == sorted(tags), "a user's entries keep their order"


@pytest.mark.parametrize("used_tokens", [0, 850, 1000, 5000], ids=lambda used: f"{used} of 1000 used before")
@pytest.mark.parametrize("weight", [1, 3])
def test_several_that_come_together_get_the_tags_that_they_would_get_one_by_one(
    enqueue: Enqueue, weight: int, used_tokens: int
) -> None:
    for owner in (ALICE, BOB):
        TaskQueue.objects.set_weight(owner, weight, provider="simulator")
        used, _ = enqueue(owner_id=owner, tokens=1000), enqueue(owner_id=owner, tokens=1000)
        used.state = EntryState.QUEUED
        TaskQueue.objects.forget(used, used_tokens=used_tokens)
    tokens = [100, 7, 0, 1000, 30]

    apart = [enqueue(owner_id=BOB, tokens=each).fair_tag for each in tokens]
    wanted = [(Job(owner_id=ALICE), Estimate(each, 0)) for each in tokens]
    together = [each.fair_tag for each in TaskQueue.objects.enqueue_all(wanted, now=NOW)]

    assert together == pytest.approx(apart)
    mine, other = FairShare.objects.filter(priority=Priority.NORMAL, queue__lane=Lane.DEFAULT).order_by("owner_key")
    assert (mine.last_tag, mine.correction) == pytest.approx((other.last_tag, other.correction))
    assert mine.entered == other.entered == 7
