"""Two transactions that overlap: who is parked while the key is freed is woken all the same."""

import threading
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, transaction

from ai_tasks.models import AIGenerationTask, BudgetPeriod
from config.chaos.invariants import violations
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import answer, at, at_once, claimed, entry_of, plan, text_task

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("providers_ready"),
]
tasks = AIGenerationTask.objects


def while_the_plan_is_open(finish: object) -> None:
    """Plan in one transaction, and call `finish` in another that begins before the first commits."""
    is_planned, is_begun = threading.Event(), threading.Event()

    def plan_slowly() -> None:
        with transaction.atomic():
            plan(now=at(1))
            is_planned.set()
            is_begun.wait(timeout=0.5)

    def finish_meanwhile() -> None:
        assert is_planned.wait(timeout=60)
        finish()  # type: ignore[operator]
        is_begun.set()

    outcomes = at_once([plan_slowly, finish_meanwhile])
    assert outcomes == [None, None]


def test_the_next_of_a_series_that_is_parked_while_the_first_ends(alice: User) -> None:
    text_task(alice, serial_key="series")
    lease = claimed()
    second = text_task(alice, serial_key="series")

    while_the_plan_is_open(lambda: tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(2)))

    assert entry_of(second).state == "waiting"
    assert violations() == []


def test_a_task_that_is_parked_for_money_while_money_is_given_back(alice: User, make_budget: MakeBudget) -> None:
    text_task(alice, max_output_tokens=1000)
    poor = text_task(alice, max_output_tokens=1000)
    make_budget(Decimal("0.0005"))
    lease = claimed()

    while_the_plan_is_open(lambda: tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(2)))

    assert entry_of(poor).state == "waiting"
    assert violations() == []


def test_two_waiting_ones_of_a_series_that_are_cancelled_at_once_do_not_lock_each_other_out(alice: User) -> None:
    for _ in range(10):
        series = [text_task(alice, serial_key="series") for _ in range(4)]
        plan()

        outcomes = at_once([lambda task=task: tasks.delete(task, now=at(1)) for task in series])  # type: ignore[misc]

        assert outcomes == [None] * 4
        assert not QueueEntry.objects.exists()


def test_admission_gives_way_to_who_settles(alice: User, bob: User, make_budget: MakeBudget) -> None:
    """A plan that holds one month's money and waits for another's must not make a settlement the victim."""
    make_budget("1", "user", str(alice.pk))
    make_budget("1")
    for owner in (alice, bob, alice):
        text_task(owner)
    lease = claimed()
    is_planned, is_settled = threading.Event(), threading.Event()

    def plan_across() -> None:
        with transaction.atomic():
            BudgetPeriod.objects.select_for_update().get(budget__scope="global")
            is_planned.set()
            is_settled.wait(timeout=0.2)
            plan(now=at(1))

    def settle_meanwhile() -> bool:
        assert is_planned.wait(timeout=60)
        return tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(2))

    planned, settled = at_once([plan_across, settle_meanwhile])

    assert settled is True
    assert planned is None or isinstance(planned, OperationalError)
    assert violations() == []
