"""Marks, bounds and weights in admin."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from queueing.models import FairShare, QueueEntry, TaskQueue
from tests.engine import NOW
from tests.queueing.conftest import ALICE, BOB, Enqueue


@pytest.fixture
def operator(db: None) -> Client:
    """Return the browser of somebody who may do everything."""
    client = Client()
    client.force_login(User.objects.create_superuser("carol", password="correct horse"))
    return client


def change(client: Client, row: TaskQueue | FairShare, **form: object) -> int:
    name = f"admin:queueing_{row._meta.model_name}_change"
    return client.post(reverse(name, args=[row.pk]), {key: str(value) for key, value in form.items()}).status_code


MARKS = {"soft_mark": 5, "hard_mark": 10, "user_mark": "", "user_slots": 2}


def test_marks_and_bounds_are_set_and_a_pause_meanwhile_stays(operator: Client) -> None:
    queue = TaskQueue.objects.queue("simulator")
    TaskQueue.objects.pause("simulator", reason="spring cleaning", now=NOW)

    assert change(operator, queue, **MARKS, is_strict="on") == 302

    queue.refresh_from_db()
    assert (queue.soft_mark, queue.hard_mark, queue.user_mark, queue.user_slots) == (5, 10, None, 2)
    assert (queue.is_strict, queue.pause_reason) == (True, "spring cleaning")


def test_what_the_walk_moves_is_not_to_be_set(operator: Client) -> None:
    queue = TaskQueue.objects.queue("simulator")

    assert change(operator, queue, **MARKS, provider="other", paused_at_0="2026-11-23", paused_at_1="06:00") == 302
    with pytest.raises(ValueError):
        TaskQueue.objects.configure(queue.pk, provider="other")  # type: ignore[arg-type]

    queue.refresh_from_db()
    assert (queue.provider, queue.paused_at) == ("simulator", None)


@pytest.mark.parametrize("mark", ["-1", "many", "9" * 30])
def test_a_mark_that_is_none_is_refused(operator: Client, mark: str) -> None:
    queue = TaskQueue.objects.queue("simulator")

    assert change(operator, queue, **MARKS | {"hard_mark": mark}) == 200

    queue.refresh_from_db()
    assert queue.hard_mark == 100_000


def test_a_weight_gives_what_waits_new_places_in_all_classes(operator: Client, enqueue: Enqueue) -> None:
    mine, other = enqueue(owner_id=ALICE), enqueue(owner_id=BOB)

    assert change(operator, FairShare.objects.get(owner_key=str(ALICE)), weight="4") == 302

    tags = dict(QueueEntry.objects.values_list("pk", "fair_tag"))
    assert (tags[mine.pk], tags[other.pk]) == (25.0, 100.0)
    assert set(FairShare.objects.filter(owner_key=str(ALICE)).values_list("weight", flat=True)) == {4.0}


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "1e308", ""])
def test_a_weight_that_is_none_is_refused(operator: Client, enqueue: Enqueue, weight: str) -> None:
    enqueue(owner_id=ALICE)

    assert change(operator, FairShare.objects.get(), weight=weight) == 200

    assert FairShare.objects.get().weight == 1.0


def test_neither_is_added_or_deleted_by_hand(operator: Client, enqueue: Enqueue) -> None:
    enqueue(owner_id=ALICE)

    for row in (TaskQueue.objects.get(), FairShare.objects.get()):
        name = f"admin:queueing_{row._meta.model_name}"
        assert operator.post(reverse(f"{name}_add"), {}).status_code == 403
        assert operator.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        assert operator.get(reverse(f"{name}_changelist")).status_code == 200
