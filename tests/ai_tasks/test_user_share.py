"""One user's share of a provider's slots: what is beyond it is parked, and woken when one of theirs goes."""

import threading

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from ai_tasks import sweeps
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import cancel
from config.chaos.invariants import violations
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState, ParkedReason
from tests.engine import (
    admitted,
    answer,
    at,
    at_once,
    claimed,
    entry_of,
    fresh,
    plan,
    several,
    text_task,
)

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


@pytest.fixture(autouse=True)
def _two_slots_a_user(db: None) -> None:
    bound(2)


def bound(slots: int | None) -> None:
    for lane in ("default", "long"):
        TaskQueue.objects.queue("simulator", lane)
    TaskQueue.objects.update(user_slots=slots)


def parked() -> int:
    return QueueEntry.objects.parked().filter(parked_reason=ParkedReason.USER_SHARE).count()


def test_a_user_gets_so_many_slots_and_others_get_theirs(alice: User, bob: User) -> None:
    several(alice, 5)
    other = text_task(bob)

    found = plan()

    assert admitted(found) == 3
    assert other.pk in [each.task_id for each in found.dispatches]
    assert parked() == 3
    assert violations() == []


def test_one_that_goes_wakes_one(alice: User) -> None:
    several(alice, 5)
    lease = claimed()
    plan()
    assert parked() == 3

    tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(1))

    assert parked() == 2
    assert admitted(plan(now=at(1))) == 1
    assert parked() == 2


@pytest.mark.parametrize("way", ["cancelled", "given back", "retried"])
def test_a_slot_is_freed_whichever_way_it_goes(alice: User, way: str) -> None:
    several(alice, 3)
    lease = claimed()
    plan()
    assert parked() == 1

    if way == "given back":
        tasks.release_task(lease.task.pk, lease.epoch, now=at(1))
    elif way == "retried":
        QueueEntry.objects.running().update(leased_until=at(0))
        sweeps.rescue_lost_leases(at(1))
    else:
        handed = QueueEntry.objects.queued().get()
        cancel(tasks.get(pk=handed.task_id), now=at(1))

    assert parked() == 0


def test_without_a_bound_nobody_is_parked(alice: User) -> None:
    bound(None)
    several(alice, 5)

    assert admitted(plan()) == 5


def test_a_raised_bound_is_noticed_by_the_sweep(alice: User) -> None:
    several(alice, 5)
    plan()
    assert sweeps.wake_shares(at(1)) == 0

    bound(4)

    assert sweeps.wake_shares(at(1)) == 2
    assert admitted(plan(now=at(1))) == 2
    bound(None)
    assert sweeps.wake_shares(at(2)) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_one_that_goes_while_another_is_parked_wakes_it_all_the_same(alice: User) -> None:
    bound(1)
    text_task(alice)
    lease = claimed()
    second = text_task(alice)
    is_planned, is_begun = threading.Event(), threading.Event()

    def plan_slowly() -> None:
        with transaction.atomic():
            plan(now=at(1))
            is_planned.set()
            is_begun.wait(timeout=0.5)

    def finish_meanwhile() -> bool:
        assert is_planned.wait(timeout=60)
        is_ended = tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(2))
        is_begun.set()
        return is_ended

    assert at_once([plan_slowly, finish_meanwhile]) == [None, True]

    assert entry_of(second).state == EntryState.WAITING
    assert fresh(second).status == "pending"
    assert violations() == []
