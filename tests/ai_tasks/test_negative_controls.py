"""The invariants' checker sees what is broken: each test breaks one guard on purpose."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from ai_tasks import chunks
from ai_tasks.accounts import charges
from ai_tasks.accounts.models import Attempt, BudgetPeriod, LedgerEntry
from ai_tasks.chunks import Piece
from ai_tasks.models import AIGenerationTask, Chunk
from config.chaos.invariants import violations, violations_at_rest
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import OTHER_WORKER, WORKER, answer, at, attempt_of, claimed, fresh, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def rules(found: list[str]) -> set[str]:
    return {each.partition(":")[0] for each in found}


def completed(owner: User) -> AIGenerationTask:
    task = text_task(owner)
    tasks.complete(task.pk, claimed().epoch, answer(), now=at(1))
    return fresh(task)


def without_index(name: str) -> None:
    """Take a unique index away until the test's transaction is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute(f'DROP INDEX "{name}"')


def test_a_whole_walk_breaks_no_rule(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    completed(alice)

    assert violations_at_rest() == []


def test_a_worker_that_learns_of_a_newer_epoch_could_finish_for_another(alice: User) -> None:
    """The fence is the epoch: whoever forges it gets through, and the loser's attempt is seen to be nowhere."""
    task = text_task(alice)
    claimed(WORKER)
    QueueEntry.objects.update(epoch=2)

    assert "processing task whose entry does not run" in rules(violations())
    assert not tasks.complete(task.pk, 1, answer(), now=at(1))


def test_a_stale_lease_written_over_the_fence_is_seen(alice: User) -> None:
    task = text_task(alice)
    tasks.release_task(task.pk, claimed(WORKER).epoch, now=at(1))
    claimed(OTHER_WORKER, now=at(2))

    AIGenerationTask.objects.filter(pk=task.pk).update(status="completed", finished_at=at(3), epoch=1)

    assert {"terminal task with an entry", "entry without an active task"} <= rules(violations())
    assert "completed task without exactly one success" in rules(violations())


def test_a_second_charge_is_seen_where_the_constraint_is_gone(alice: User) -> None:
    completed(alice)
    without_index("ledger_one_charge")
    charge = LedgerEntry.objects.get()
    charge.pk = None

    charge.save(force_insert=True)

    assert rules(violations()) == {"attempt charged twice"}


def test_an_end_without_a_charge_is_seen(alice: User) -> None:
    completed(alice)

    LedgerEntry.objects.all().delete()

    assert "ended attempt without a charge" in rules(violations())


def test_a_charge_for_a_call_that_never_started_is_seen(alice: User) -> None:
    task = text_task(alice)
    plan()

    charges.charge(attempt_of(task), task, answer().usage, now=at(1))

    assert rules(violations()) == {"charged attempt that never started"}


def test_money_that_stays_held_is_seen(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    completed(alice)

    BudgetPeriod.objects.update(held_usd=Decimal("0.01"))

    assert rules(violations_at_rest()) == {"budget held other than its open holds", "held money"}


def test_holding_more_than_there_is_is_seen(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    text_task(alice)
    plan()

    BudgetPeriod.objects.update(limit_usd=0)

    assert rules(violations()) == {"budget overdrawn by holds"}


def test_a_task_that_lost_its_entry_is_seen(alice: User) -> None:
    text_task(alice)

    QueueEntry.objects.all().delete()

    assert rules(violations()) == {"active task without an entry"}


def test_an_entry_moved_without_its_task_is_seen(alice: User) -> None:
    text_task(alice)

    TaskQueue.objects.dequeue("simulator", worker=WORKER, now=at(1))

    assert "entry without an active task" in rules(violations())


def test_an_unfinished_attempt_without_a_lease_is_seen(alice: User) -> None:
    completed(alice)

    Attempt.objects.update(state="started")

    assert "unfinished attempt that is nowhere" in rules(violations())


def test_a_failure_that_nobody_was_told_of_is_seen(alice: User) -> None:
    task = text_task(alice, deadline_seconds=1)
    claimed()
    with transaction.atomic():
        QueueEntry.objects.all().delete()
        AIGenerationTask.objects.filter(pk=task.pk).update(status="failed", finished_at=at(1))

    assert "failed task without a dead letter that says so" in rules(violations())
    assert not DeadLetter.objects.exists()


def test_chunks_left_unfolded_are_seen(alice: User) -> None:
    task = completed(alice)

    chunks.write(task, [Piece(1, 1, "text", "a"), Piece(2, 1, "text", "b")])

    assert rules(violations()) == {"terminal task with unfolded chunks"}
    assert Chunk.objects.count() == 2
