"""TaskQueue.objects.enqueue: one entry per live task, or nothing at all."""

import pytest
from django.db import transaction

from queueing.entries import Estimate
from queueing.errors import AlreadyQueued, QueueFull
from queueing.models import FairShare, QueueEntry, TaskQueue
from queueing.states import EntryState, Lane, ParkedReason, Priority
from tests.engine import NOW, at, at_once
from tests.queueing.conftest import ALICE, BOB, Enqueue, Job


def test_an_entry_waits_with_what_its_task_says(enqueue: Enqueue) -> None:
    job = Job(priority=Priority.HIGH, lane=Lane.LONG, serial_key="chat:1", epoch=7)

    entry = TaskQueue.objects.enqueue(job, estimate=Estimate(30, 70), now=NOW)

    entry.refresh_from_db()
    assert (entry.task_id, entry.state, entry.owner_key) == (job.id, EntryState.WAITING, str(ALICE))
    assert (entry.priority, entry.lane, entry.serial_key, entry.epoch) == (Priority.HIGH, "long", "chat:1", 7)
    assert (entry.estimate_tokens, entry.enqueued_at) == (100, NOW)


def test_a_later_run_at_parks_the_entry_until_then(enqueue: Enqueue) -> None:
    entry = enqueue(run_at=at(60))

    assert (entry.state, entry.parked_reason) == (EntryState.PARKED, ParkedReason.SCHEDULED)
    assert entry.parked_until == at(60)


def test_a_run_at_that_has_passed_does_not_park(enqueue: Enqueue) -> None:
    assert enqueue(run_at=NOW).state == EntryState.WAITING


def test_the_priority_given_wins_over_the_tasks_own(db: None) -> None:
    job = Job(priority=Priority.NORMAL)

    entry = TaskQueue.objects.enqueue_with_priority(job, Priority.URGENT, now=NOW)

    assert entry.priority == Priority.URGENT


def test_a_task_that_is_queued_already_is_refused_and_its_entry_stays(enqueue: Enqueue) -> None:
    job = Job()
    first = TaskQueue.objects.enqueue(job, now=NOW)
    tag = FairShare.objects.get().last_tag

    with pytest.raises(AlreadyQueued):
        TaskQueue.objects.enqueue(job, now=NOW)

    assert QueueEntry.objects.get() == first
    assert FairShare.objects.get().last_tag == tag, "a refused entry uses up nothing of its user's share"


def test_a_full_queue_refuses_and_writes_nothing(enqueue: Enqueue) -> None:
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.filter(provider="simulator").update(hard_mark=2)
    enqueue()
    enqueue(run_at=at(60))
    shares = list(FairShare.objects.values())

    with pytest.raises(QueueFull) as refusal:
        enqueue(owner_id=BOB)

    assert QueueEntry.objects.count() == 2
    assert list(FairShare.objects.values()) == shares
    assert (refusal.value.depth, refusal.value.mark) == (2, 2)
    assert 1 <= refusal.value.retry_after_seconds <= 300


def test_a_queue_without_a_mark_is_never_full(enqueue: Enqueue) -> None:
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.filter(provider="simulator").update(hard_mark=None)

    enqueue()

    assert not TaskQueue.objects.is_queue_full("simulator")


def test_a_mark_counts_one_lane_of_one_provider(enqueue: Enqueue) -> None:
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.filter(provider="simulator", lane=Lane.DEFAULT).update(hard_mark=1)
    enqueue()

    enqueue(lane=Lane.LONG)
    enqueue(provider="other")

    assert TaskQueue.objects.is_queue_full("simulator")
    assert not TaskQueue.objects.is_queue_full("simulator", lane=Lane.LONG)


def test_an_entry_vanishes_with_the_callers_transaction(enqueue: Enqueue) -> None:
    with transaction.atomic():
        enqueue()
        transaction.set_rollback(True)

    assert not QueueEntry.objects.exists()
    assert not FairShare.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_enqueue_the_same_task_one_does() -> None:
    job = Job()

    outcomes = at_once([lambda: TaskQueue.objects.enqueue(job, now=NOW)] * 8)

    assert QueueEntry.objects.count() == 1
    assert sum(isinstance(each, QueueEntry) for each in outcomes) == 1
    assert sum(isinstance(each, AlreadyQueued) for each in outcomes) == 7


@pytest.mark.django_db(transaction=True)
def test_many_users_enqueue_at_once_into_a_queue_that_nobody_has_used() -> None:
    jobs = [Job(owner_id=owner) for owner in range(8)]

    at_once([lambda job=job: TaskQueue.objects.enqueue(job, now=NOW) for job in jobs])  # type: ignore[misc]

    assert QueueEntry.objects.count() == 8
    assert TaskQueue.objects.get().classes.count() == len(Priority)
