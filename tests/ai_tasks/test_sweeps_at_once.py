"""Sweeps beside other sweeps and beside finishing workers."""

import pytest
from django.contrib.auth.models import User

from ai_tasks import sweeps
from ai_tasks.models import AIGenerationTask, Attempt, BudgetPeriod, LedgerEntry
from ai_tasks.submission import cancel
from config.chaos.invariants import violations, violations_at_rest
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import (
    Held,
    answer,
    at,
    at_once,
    claimed,
    text_task,
)

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", range(3))
def test_two_beats_at_once_rescue_once(alice: User, number: int) -> None:
    for _ in range(4):
        text_task(alice)
        claimed()

    outcomes = at_once([lambda: sweeps.rescue_lost_leases(at(91))] * 3)

    assert sum(each for each in outcomes if isinstance(each, int)) == 4, outcomes
    assert set(AIGenerationTask.objects.values_list("crashes", flat=True)) == {1}
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_once_charge_once(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    for _ in range(3):
        text_task(alice)
        claimed()
    sweeps.rescue_lost_leases(at(91))

    at_once([lambda: sweeps.charge_lost(at(800))] * 3)

    assert LedgerEntry.objects.count() == Attempt.objects.count() == 3
    assert BudgetPeriod.objects.get().held_usd == 0


@pytest.mark.django_db(transaction=True)
def test_finish_and_rescue_at_once_leave_one_truth(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    for _ in range(5):
        task = text_task(alice)
        lease = claimed()

        at_once(
            [
                lambda lease=lease: tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(91)),  # type: ignore[misc]
                lambda: sweeps.rescue_lost_leases(at(91)),
            ]
        )

        assert LedgerEntry.objects.filter(task=task).count() == 1
        assert violations() == []
        cancel(task, now=at(92))
    assert violations_at_rest() == []


@pytest.mark.django_db(transaction=True)
def test_a_late_result_and_the_estimate_at_once_charge_once(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    for _ in range(5):
        task = text_task(alice)
        lease = claimed()
        sweeps.rescue_lost_leases(at(91))

        at_once(
            [
                lambda lease=lease: tasks.complete(lease.task.pk, lease.epoch, answer(), now=at(800)),  # type: ignore[misc]
                lambda: sweeps.charge_lost(at(800)),
            ]
        )

        assert LedgerEntry.objects.filter(task=task, kind="charge").count() == 1
        cancel(task, now=at(801))
    assert violations_at_rest() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_row_that_somebody_has_locked_keeps_no_sweep_from_the_others(alice: User) -> None:
    late = [text_task(alice, deadline_seconds=10) for _ in range(3)]
    locked = QueueEntry.objects.filter(task_id=late[0].pk).select_for_update()

    with Held(lambda: list(locked)):
        assert sweeps.time_out(at(11)) == 2

    assert sweeps.time_out(at(11)) == 1
    assert violations_at_rest() == []
