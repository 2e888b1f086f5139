"""Each guard of the engine, broken on purpose, breaks the rule that is named for it; whole, it breaks none."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from ai_tasks import chunks, lease, settlement, sweeps
from ai_tasks.access import idempotency
from ai_tasks.chunks import Piece
from ai_tasks.models import AIGenerationTask
from config.chaos.books import Books, Call
from config.chaos.controls import CONTROLS, break_guard
from config.chaos.invariants import checks, checks_at_rest
from config.chaos.run import accepted
from providers.errors import BadRequest
from tests.ai_tasks.conftest import MakeBudget, SetLimits
from tests.engine import NOW, OTHER_WORKER, WORKER, answer, at, claimed, plan, several, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
SLOTS = 2


@dataclass
class Walk:
    """What a scenario did, as its clients and its provider saw it."""

    owner: User
    ids: dict[str, str] = field(default_factory=dict)
    """Task ids by what clients sent."""
    calls: list[Call] = field(default_factory=list)
    harmed: list[UUID] = field(default_factory=list)
    """Workers that were frozen or killed."""

    def submit(self) -> AIGenerationTask:
        """Submit a task."""
        task = text_task(self.owner)
        self.ids[str(task.pk)] = str(task.pk)
        return task

    def failing(self) -> set[str]:
        """Return the names of the rules that are broken now."""
        books = Books(self.calls, harmed=self.harmed, known=(WORKER,)).checks({"simulator": SLOTS})
        found = [*checks(), *books, *accepted(self.ids)]
        if not AIGenerationTask.objects.active().exists():
            found += checks_at_rest()
        return {rule for rule, rows in found if rows}


def answered(walk: Walk) -> AIGenerationTask:
    task = walk.submit()
    epoch = claimed().epoch
    walk.calls.append(Call(f"{task.pk}.{epoch}", 0, 1, (10, 5), "completed"))
    chunks.write(task, [Piece(1, epoch, "text", "a"), Piece(2, epoch, "text", "b")])
    tasks.complete(task.pk, epoch, answer(), now=at(1))
    return task


def refused(walk: Walk) -> None:
    task = walk.submit()
    tasks.fail(task.pk, claimed().epoch, BadRequest("No."), now=at(1))


def handed_over(walk: Walk) -> None:
    walk.submit()
    plan()


def swept(walk: Walk) -> None:
    walk.submit()
    claimed(WORKER)
    sweeps.rescue_lost_leases(at(1))


def finished_by_a_zombie(walk: Walk) -> None:
    task = walk.submit()
    zombie = claimed(WORKER).epoch
    walk.harmed.append(WORKER)
    sweeps.rescue_lost_leases(at(200))
    claimed(OTHER_WORKER, now=at(201))
    tasks.complete(task.pk, zombie, answer(), now=at(202))


def told_late(walk: Walk) -> None:
    task = answered(walk)
    with connection.cursor() as cursor:
        # The last guard: the test's transaction brings it back.
        cursor.execute('DROP INDEX "ledger_one_charge"')
    settlement.charge_late(tasks.all(), task.pk, 1, answer().usage, at(2))


def sent_twice(walk: Walk) -> None:
    for _ in range(2):
        with transaction.atomic():
            given = {"owner_id": walk.owner.pk, "key": "once", "call": "POST /tasks", "digest": "same"}
            record, is_new = idempotency.claim(**given, now=NOW)
            if is_new:
                record.object_ids = [str(text_task(walk.owner).pk)]
                record.save()
            walk.ids["once"] = record.object_ids[0]


def begun(walk: Walk, times: int = 1) -> None:
    for each in plan().dispatches * times:
        begun = lease.begin(tasks.all(), each.task_id, each.epoch, dispatch_id=each.dispatch_id, worker=WORKER, now=NOW)
        if begun:
            walk.calls.append(Call(f"{each.task_id}.{each.epoch}", 0))


def delivered_twice(walk: Walk) -> None:
    walk.submit()
    begun(walk, times=2)


def crowded(walk: Walk) -> None:
    walk.ids = {str(task.pk): str(task.pk) for task in several(walk.owner, 2 * SLOTS)}
    begun(walk)


SCENARIOS: dict[str, Callable[[Walk], object]] = {
    "finish-without-epoch": finished_by_a_zombie,
    "begin-without-compare-and-set": delivered_twice,
    "rescue-without-lease": swept,
    "admit-without-limits": crowded,
    "idempotency-key-ignored": sent_twice,
    "charge-again": told_late,
    "hold-skipped": handed_over,
    "hold-kept": answered,
    "charge-skipped": answered,
    "entry-kept": answered,
    "dead-letter-skipped": refused,
    "chunks-unfolded": answered,
}


@pytest.fixture
def walk(alice: User, make_budget: MakeBudget, set_limits: SetLimits) -> Walk:
    """Nothing yet, with a budget and a provider of few slots."""
    make_budget("1")
    set_limits(max_concurrency=SLOTS)
    return Walk(alice)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_broken_guard_is_seen_by_the_rule_that_is_named_for_it(
    walk: Walk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    break_guard(name, monkeypatch.setattr)

    SCENARIOS[name](walk)

    assert CONTROLS[name].rule in walk.failing()


@pytest.mark.parametrize("name", CONTROLS)
def test_a_whole_one_breaks_no_rule(walk: Walk, name: str) -> None:
    SCENARIOS[name](walk)

    assert walk.failing() == set()
