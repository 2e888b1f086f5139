"""Dead letters: kept once, grouped by what went wrong, sent back once."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from queueing.models import DeadLetter, QueueEntry, TaskQueue
from queueing.states import Lane
from tests.engine import NOW, WORKER, at, at_once
from tests.queueing.conftest import Enqueue, Job


def bury(task_id: UUID | None = None, **changes: Any) -> DeadLetter:
    letter: dict[str, Any] = {
        "task_type": "text.generate",
        "provider": "simulator",
        "model": "sim-1",
        "lane": Lane.DEFAULT,
        "owner_key": "1",
        "reason": "tries_used_up",
        "error_class": "unavailable",
        "message": "It did not answer.",
        "attempts": 4,
        "payload_place": "ai_tasks_aigenerationtask:1",
        "created_at": NOW,
    }
    return TaskQueue.objects.move_to_dlq(task_id or uuid4(), **letter | changes)


def test_the_entry_goes_and_the_letter_says_why(enqueue: Enqueue) -> None:
    entry = enqueue()

    letter = bury(entry.task_id)

    assert not QueueEntry.objects.exists()
    assert (letter.task_id, letter.error_class, letter.attempts) == (entry.task_id, "unavailable", 4)
    assert letter.payload_place == "ai_tasks_aigenerationtask:1"
    assert letter.resolution == DeadLetter.Resolution.OPEN


def test_a_running_entry_goes_too(enqueue: Enqueue) -> None:
    entry = enqueue()
    TaskQueue.objects.dequeue("simulator", worker=WORKER, now=NOW)

    bury(entry.task_id)

    assert not QueueEntry.objects.exists()


def test_a_second_move_returns_the_first_letter(db: None) -> None:
    first = bury(reason="tries_used_up")

    again = bury(first.task_id, reason="crashed", message="Something else.")

    assert (again.pk, again.reason) == (first.pk, "tries_used_up")
    assert DeadLetter.objects.count() == 1


def test_mishaps_that_differ_in_numbers_and_ids_only_have_one_fingerprint(db: None) -> None:
    one = bury(message=f"Request {uuid4()} took 31.5 s at 0x7f3a")
    other = bury(message=f"Request {uuid4()} took 2.25 s at 0x11")

    assert one.fingerprint == other.fingerprint


def test_other_mishaps_have_another_fingerprint(db: None) -> None:
    letters = [bury(), bury(message="It hung up."), bury(error_class="overloaded")]

    assert len({letter.fingerprint for letter in letters}) == 3


@pytest.mark.parametrize("message", ["", "x" * 100_000, "\ud800 half a pair".encode("utf-8", "replace").decode(), "🏃"])
def test_any_message_has_a_fingerprint(db: None, message: str) -> None:
    assert len(bury(message=message).fingerprint) == 40


def test_open_letters_are_listed_newest_first_and_filtered(db: None) -> None:
    first, second, third = bury(), bury(provider="second"), bury()

    assert list(TaskQueue.objects.get_dlq_items()) == [third, second, first]
    assert list(TaskQueue.objects.get_dlq_items(provider="second")) == [second]


def test_a_letter_is_redriven_once(db: None) -> None:
    letter = bury()

    first = TaskQueue.objects.retry_from_dlq([letter.task_id], now=at(1))
    second = TaskQueue.objects.retry_from_dlq([letter.task_id], now=at(2))

    letter.refresh_from_db()
    assert (first, second) == ([letter.task_id], [])
    assert (letter.resolution, letter.resolved_at) == ("redriven", at(1))


def test_unknown_tasks_are_left_out_and_the_order_is_kept(db: None) -> None:
    one, two = bury(), bury()

    assert TaskQueue.objects.retry_from_dlq([two.task_id, uuid4(), one.task_id], now=NOW) == [two.task_id, one.task_id]


def test_a_task_that_dies_again_gets_a_letter_of_its_own(db: None) -> None:
    first = bury()
    TaskQueue.objects.retry_from_dlq([first.task_id], now=NOW)

    second = bury(first.task_id)

    assert second.pk != first.pk
    assert DeadLetter.objects.filter(task_id=first.task_id).count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_many_who_redrive_a_letter_one_does() -> None:
    letter = bury()

    outcomes = at_once([lambda: TaskQueue.objects.retry_from_dlq([letter.task_id], now=NOW)] * 6)

    assert sorted(map(str, outcomes)) == sorted([str([letter.task_id])] + ["[]"] * 5)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_bury_a_task_one_writes_the_letter() -> None:
    job = Job()
    TaskQueue.objects.enqueue(job, now=NOW)

    outcomes = at_once([lambda: bury(job.id).pk] * 6)

    assert len(set(outcomes)) == 1, outcomes
    assert DeadLetter.objects.count() == 1
    assert not QueueEntry.objects.exists()
