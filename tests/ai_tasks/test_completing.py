"""Answers that come at the same time are settled in one transaction, each as if it were alone."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet

from ai_tasks import chunks, completing, lease, sweeps
from ai_tasks.chunks import Piece
from ai_tasks.completing import Answered
from ai_tasks.models import AIGenerationTask, BudgetPeriod, Chunk, LedgerEntry
from ai_tasks.states import TaskStatus
from config.chaos.invariants import violations
from providers.errors import StreamCut
from queueing.entries import Handed
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.ai_tasks.test_settlement import COST
from tests.engine import OTHER_WORKER, WORKER, Held, answer, at, claimed, fresh, plan, several, text_task

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]
tasks = AIGenerationTask.objects


def begun(count: int) -> list[lease.Lease]:
    """Begin that many waiting tasks at once."""
    handed = [Handed(each.task_id, each.epoch, each.dispatch_id) for each in plan(limit=count).dispatches]
    found = lease.begin_all(tasks.all(), handed, worker=WORKER, now=at(1))
    return [each for each in found if each]


def answered(leases: Sequence[lease.Lease]) -> list[Answered]:
    return [Answered(each.task.pk, each.epoch, answer()) for each in leases]


def test_each_is_finished_and_paid_once(alice: User, bob: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    make_budget("1", "user", str(bob.pk))
    made = [*several(alice, 3), *several(bob, 2)]

    done = completing.complete_all(tasks.all(), answered(begun(5)), at(2))

    assert done == [True] * 5
    assert {fresh(each).status for each in made} == {TaskStatus.COMPLETED}
    assert [each.amount_usd for each in LedgerEntry.objects.all()] == [COST] * 5
    assert sorted(BudgetPeriod.objects.values_list("spent_usd", "held_usd")) == [(2 * COST, 0), (5 * COST, 0)]
    assert violations() == []


def test_what_was_lost_is_left_and_the_others_end(alice: User) -> None:
    several(alice, 3)
    ended = answered(begun(3))
    lost = tasks.get(pk=ended[1].task_id)
    QueueEntry.objects.for_task(lost.pk).update(leased_until=at(2))
    sweeps.rescue_lost_leases(at(10))

    done = completing.complete_all(tasks.all(), ended, at(11))

    assert done == [True, False, True]
    assert not completing.complete(tasks.all(), ended[1], at(12)), "alone it is only paid"
    assert fresh(lost).status == TaskStatus.PENDING
    assert LedgerEntry.objects.count() == 3
    assert violations() == []


def test_a_zombie_does_not_end_what_another_runs(alice: User) -> None:
    task = text_task(alice)
    (zombie,) = answered(begun(1))
    sweeps.rescue_lost_leases(at(200))
    claimed(OTHER_WORKER, now=at(201))

    assert completing.complete_all(tasks.all(), [zombie], at(202)) == [False]

    assert fresh(task).status == TaskStatus.PROCESSING


def test_a_doubled_message_begins_once(alice: User) -> None:
    text_task(alice)
    (each,) = plan().dispatches
    handed = Handed(each.task_id, each.epoch, each.dispatch_id)

    first, second = lease.begin_all(tasks.all(), [handed, handed], worker=WORKER, now=at(1))

    assert first is not None
    assert second is None


def test_an_earlier_attempt_is_part_of_the_price(alice: User) -> None:
    task = text_task(alice)
    error = StreamCut()
    error.usage = answer().usage
    tasks.fail(task.pk, claimed().epoch, error, now=at(1))
    (ended,) = answered([claimed(now=at(100))])

    completing.complete_all(tasks.all(), [ended], at(101))

    assert fresh(task).cost_usd == 2 * COST


def test_the_pieces_of_each_are_folded_into_its_own_row(alice: User) -> None:
    several(alice, 2)
    first, second = begun(2)
    chunks.write(first.task, [Piece(1, 1, "text", "a"), Piece(2, 1, "text", "b")])
    ended = [
        Answered(first.task.pk, 1, answer("abc"), [Piece(3, 1, "text", "c")]),
        Answered(second.task.pk, 1, answer("x"), [Piece(1, 1, "text", "x")]),
    ]

    completing.complete_all(tasks.all(), ended, at(2))

    assert Chunk.objects.count() == 2
    assert [piece.data for piece in Chunk.objects.after(first.task.pk, 0)] == ["a", "b", "c"]
    assert [piece.data for piece in Chunk.objects.after(second.task.pk, 0)] == ["x"]


@pytest.mark.postgresql
@pytest.mark.parametrize("of", [QueueEntry.objects.for_task, lambda task_id: tasks.filter(pk=task_id)])
def test_nobody_waits_for_a_row_that_somebody_else_has_locked(alice: User, of: Callable[[UUID], QuerySet[Any]]) -> None:
    several(alice, 3)
    ended = answered(begun(3))
    locked = of(ended[0].task_id)

    with Held(lambda: locked.select_for_update().get()):
        done = completing.complete_all(tasks.all(), ended, at(2))

    assert done == [False, True, True]
    assert completing.complete(tasks.all(), ended[0], at(3))


@pytest.mark.postgresql
def test_an_entry_that_somebody_else_has_locked_begins_later(alice: User) -> None:
    several(alice, 2)
    first, second = [Handed(each.task_id, each.epoch, each.dispatch_id) for each in plan().dispatches]
    locked = QueueEntry.objects.for_task(first.task_id)

    with Held(lambda: locked.select_for_update().get()):
        found = lease.begin_all(tasks.all(), [first, second], worker=WORKER, now=at(1))

    assert [bool(each) for each in found] == [False, True]
    assert lease.begin(tasks.all(), first.task_id, first.epoch, dispatch_id=first.dispatch_id, worker=WORKER, now=at(2))


@pytest.mark.postgresql
def test_beside_a_task_that_somebody_else_has_locked_each_begins_alone(alice: User) -> None:
    several(alice, 2)
    first, second = [Handed(each.task_id, each.epoch, each.dispatch_id) for each in plan().dispatches]
    locked = tasks.filter(pk=first.task_id)

    with Held(lambda: locked.select_for_update().get()):
        with pytest.raises(RuntimeError, match="Locked"):
            lease.begin_all(tasks.all(), [first, second], worker=WORKER, now=at(1))
        alone = lease.begin(tasks.all(), *second[:2], dispatch_id=second.dispatch_id, worker=WORKER, now=at(1))

    assert alone is not None
