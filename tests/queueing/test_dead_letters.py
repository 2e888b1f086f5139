"""move_to_dlq, take_from_dlq, discard_from_dlq: a letter is written once and dealt with once."""

from uuid import uuid4

import pytest

from queueing.errors import BadFilter
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from tests.engine import NOW, WORKER, at, at_once
from tests.queueing.conftest import Enqueue, Job, bury


def test_the_entry_goes_and_the_letter_says_why(enqueue: Enqueue) -> None:
    job = Job()
    TaskQueue.objects.enqueue(job, now=NOW)

    letter = bury(job)

    assert not QueueEntry.objects.exists()
    assert (letter.task_id, letter.reason, letter.error_class) == (job.id, "tries_used_up", "unavailable")
    assert (letter.task_type, letter.provider, letter.model, letter.owner_key) == (job.type, "simulator", "sim-1", "1")
    assert (letter.attempts, letter.created_at, letter.resolution) == (4, NOW, DeadLetter.Resolution.OPEN)


def test_a_running_entry_goes_too_and_leaves_its_estimate(enqueue: Enqueue) -> None:
    entry = enqueue(tokens=70)
    TaskQueue.objects.dequeue("simulator", worker=WORKER, now=NOW)

    letter = bury(Job(id=entry.task_id))

    assert not QueueEntry.objects.exists()
    assert letter.estimate_input_tokens == 70


def test_a_second_move_returns_the_first_letter(db: None) -> None:
    first = bury(reason="tries_used_up")

    again = bury(Job(id=first.task_id), reason="crashed", message="Something else.")

    assert (again.pk, again.reason) == (first.pk, "tries_used_up")
    assert DeadLetter.objects.count() == 1


def test_what_cannot_be_stored_of_a_message_is_replaced_and_a_long_one_cut(db: None) -> None:
    letter = bury(message="a\x00b" + "\ud800" + "x" * 10_000)

    letter.refresh_from_db()
    assert letter.message.startswith("a\N{REPLACEMENT CHARACTER}b?xxx")
    assert len(letter.message) == 4_000


def test_a_letter_is_taken_once(db: None) -> None:
    letter = bury()

    first = TaskQueue.objects.take_from_dlq([letter.task_id], by="alice", now=at(1))
    second = TaskQueue.objects.take_from_dlq([letter.task_id], by="bob", now=at(2))

    letter.refresh_from_db()
    assert (first, second) == ([letter.task_id], [])
    assert (letter.resolution, letter.resolved_at, letter.resolved_by) == ("redriven", at(1), "alice")


def test_unknown_tasks_are_left_out_and_the_order_is_kept(db: None) -> None:
    one, two = bury(), bury()

    assert TaskQueue.objects.take_from_dlq([two.task_id, uuid4(), one.task_id], now=NOW) == [two.task_id, one.task_id]


def test_a_task_that_dies_again_gets_a_letter_of_its_own(db: None) -> None:
    first = bury()
    TaskQueue.objects.take_from_dlq([first.task_id], now=NOW)

    second = bury(Job(id=first.task_id))

    assert second.pk != first.pk
    assert DeadLetter.objects.filter(task_id=first.task_id).count() == 2


def test_letters_are_discarded_with_who_and_why(db: None) -> None:
    letter, other = bury(), bury(error_class="overloaded")

    discarded = TaskQueue.objects.discard_from_dlq({"error_class": "unavailable"}, by="bob", reason="Old.", now=at(1))

    letter.refresh_from_db()
    assert discarded == 1
    assert (letter.resolution, letter.resolved_by, letter.resolution_reason) == ("discarded", "bob", "Old.")
    assert list(TaskQueue.objects.get_dlq_items()) == [other]


def test_only_open_letters_are_discarded_and_each_once(db: None) -> None:
    letter = bury()
    TaskQueue.objects.take_from_dlq([letter.task_id], now=NOW)

    assert TaskQueue.objects.discard_from_dlq([letter.pk], by="bob", reason="Old.", now=NOW) == 0
    with pytest.raises(BadFilter):
        TaskQueue.objects.discard_from_dlq({"resolution": "redriven"}, by="bob", reason="Old.", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_take_a_letter_one_does() -> None:
    letter = bury()

    outcomes = at_once([lambda: TaskQueue.objects.take_from_dlq([letter.task_id], now=NOW)] * 6)

    assert sorted(map(str, outcomes)) == sorted([str([letter.task_id])] + ["[]"] * 5)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_discard_letters_each_letter_is_counted_once() -> None:
    for _ in range(20):
        bury()

    outcomes = at_once([lambda: TaskQueue.objects.discard_from_dlq({}, by="bob", reason="Old.", now=NOW)] * 4)

    assert sum(each for each in outcomes if isinstance(each, int)) == 20, outcomes
    assert not DeadLetter.objects.open().exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_bury_a_task_one_writes_the_letter() -> None:
    job = Job()
    TaskQueue.objects.enqueue(job, now=NOW)

    outcomes = at_once([lambda: bury(job).pk] * 6)

    assert len(set(outcomes)) == 1, outcomes
    assert DeadLetter.objects.count() == 1
    assert not QueueEntry.objects.exists()
