"""Every pair of TASK_MOVES and ATTEMPT_MOVES: reached by a verb, or by none."""

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from ai_tasks import settlement, sweeps
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import ATTEMPT_MOVES, AttemptState, Budget
from ai_tasks.errors import NotPossible
from ai_tasks.lease import begin, give_back
from ai_tasks.models import AIGenerationTask
from ai_tasks.states import ACTIVE, REVIVABLE, TASK_MOVES, TERMINAL, TaskStatus
from ai_tasks.submission import cancel, retry
from config.chaos.invariants import violations
from providers.errors import BadRequest, StreamCut
from queueing.models import QueueEntry
from queueing.states import ENTRY_MOVES, EntryState
from tests.engine import WORKER, answer, at, claim, claimed, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
Task = AIGenerationTask


def begun(owner: User) -> Task:
    task = text_task(owner, deadline_seconds=3600)
    claimed()
    return task


def handed_over(owner: User) -> Task:
    task = text_task(owner, deadline_seconds=3600)
    plan()
    return task


def ended(owner: User, end: Callable[[Task], object]) -> Task:
    task = begun(owner)
    end(task)
    return task


def stop(task: Task) -> object:
    return settlement.stop(tasks.all(), task.pk, 1, settlement.NOTHING_USED, is_cancelled=True, now=at(1))


MAKE: dict[str, Callable[[User], Task]] = {
    "pending": lambda owner: text_task(owner, deadline_seconds=3600),
    "parked": lambda owner: text_task(owner, run_at=at(10), deadline_seconds=3590),
    "handed over": handed_over,
    "processing": begun,
    "lost": lambda owner: ended(owner, lambda task: sweeps.rescue_lost_leases(at(100))),
    "completed": lambda owner: ended(owner, lambda task: tasks.complete(task.pk, 1, answer(), now=at(1))),
    "failed": lambda owner: ended(owner, lambda task: tasks.fail(task.pk, 1, BadRequest(), now=at(1))),
    "timed out": lambda owner: ended(owner, lambda task: tasks.fail(task.pk, 1, StreamCut(), now=at(4000))),
    "cancelled": lambda owner: ended(owner, stop),
}


def plan_without_money(task: Task) -> None:
    budgets.store(Budget(scope="global", limit_usd=Decimal("0.0000001")), at(20))
    plan(now=at(20))


VERBS: dict[str, Callable[[Task], Any]] = {
    "claim": lambda task: claim(now=at(20)),
    "plan": lambda task: plan(now=at(20)),
    "plan without money": plan_without_money,
    "wake the due": lambda task: QueueEntry.objects.due(at(20)).wake(),
    "begin": lambda task: [
        begin(tasks.all(), task.pk, 1, dispatch_id=entry.dispatch_id, worker=WORKER, now=at(20))
        for entry in QueueEntry.objects.queued()
    ],
    "complete": lambda task: tasks.complete(task.pk, 1, answer(), now=at(20)),
    "fail for good": lambda task: tasks.fail(task.pk, 1, BadRequest(), now=at(20)),
    "fail for now": lambda task: tasks.fail(task.pk, 1, StreamCut(), now=at(20)),
    "fail too late": lambda task: tasks.fail(task.pk, 1, StreamCut(), now=at(4000)),
    "release": lambda task: tasks.release_task(task.pk, 1, now=at(20)),
    "stop": stop,
    "cancel": lambda task: cancel(task, now=at(20)),
    "delete": lambda task: tasks.delete(task, now=at(20)),
    "retry": lambda task: retry(task, now=at(20)),
    "give back": lambda task: [give_back(tasks.all(), entry, at(20)) for entry in QueueEntry.objects.queued()],
    "give back until": lambda task: [
        give_back(tasks.all(), entry, at(20), until=at(50)) for entry in QueueEntry.objects.queued()
    ],
    "rescue": lambda task: sweeps.rescue_lost_leases(at(100)),
    "time out": lambda task: sweeps.time_out(at(4000)),
    "mend": lambda task: sweeps.mend_tasks_without_entry(at(4000)),
    "renew": lambda task: tasks.renew(task.pk, 1, worker=WORKER, now=at(20)),
}


def seen(task: Task) -> tuple[str, str | None, dict[int, str]]:
    now = tasks.get(pk=task.pk)
    entry = QueueEntry.objects.filter(task_id=task.pk).first()
    return now.status, entry.state if entry else None, dict(now.attempts.values_list("epoch", "state"))


def walk(owner: User, start: str, verb: str) -> tuple[Any, Any]:
    task = MAKE[start](owner)
    before = seen(task)
    try:
        VERBS[verb](task)
    except NotPossible:
        assert seen(task) == before
    return before, seen(task)


@pytest.mark.parametrize(("start", "verb"), list(product(MAKE, VERBS)))
def test_no_verb_makes_a_move_that_is_not_in_the_tables(alice: User, start: str, verb: str) -> None:
    (status, entry, attempts), (next_status, next_entry, next_attempts) = walk(alice, start, verb)

    assert next_status == status or next_status in _reach(TASK_MOVES, status)
    for epoch, state in attempts.items():
        assert next_attempts[epoch] == state or next_attempts[epoch] in _reach(ATTEMPT_MOVES, state)
    if entry and next_entry:
        assert next_entry == entry or next_entry in _reach(ENTRY_MOVES, entry)
    assert violations() == []


def _reach(moves: Any, state: str) -> set[str]:
    """Return where one verb may lead: a move, or several where a plan wakes, admits and a claim begins at once."""
    kind = type(next(iter(moves)))
    found: set[str] = set()
    todo = [state]
    while todo:
        for each in moves[kind(todo.pop())] - found:
            found.add(each)
            todo += [each] if each in ("waiting", "queued") else []
    return found


def test_every_move_of_the_tables_is_made_by_some_verb(alice: User) -> None:
    made: dict[str, set[tuple[str, str]]] = {"task": set(), "entry": set(), "attempt": set()}
    for start, verb in product(MAKE, VERBS):
        with transaction.atomic():
            before, after = walk(alice, start, verb)
            made["task"].add((before[0], after[0]))
            made["entry"].add((str(before[1]), str(after[1])))
            made["attempt"] |= {(state, after[2][epoch]) for epoch, state in before[2].items()}
            transaction.set_rollback(True)

    # Nothing fails a task that waits yet: that is an operator's wish.
    assert _pairs(TASK_MOVES) - made["task"] == {("pending", "failed")}
    assert _pairs(ATTEMPT_MOVES) <= made["attempt"]
    assert _pairs(ENTRY_MOVES) <= made["entry"]


def _pairs(moves: Any) -> set[tuple[str, str]]:
    return {(str(start), str(end)) for start, ends in moves.items() for end in ends}


def test_the_tables_know_every_state() -> None:
    assert set(TASK_MOVES) == set(TaskStatus)
    assert set(ATTEMPT_MOVES) == set(AttemptState)
    assert set(ACTIVE) | set(TERMINAL) == set(TaskStatus)
    assert {state for state in TERMINAL if TASK_MOVES[state]} == set(REVIVABLE)


def test_terminal_attempts_move_no_more() -> None:
    assert not any(ATTEMPT_MOVES[state] for state in AttemptState if state not in ("admitted", "started"))
    assert EntryState.RUNNING not in ENTRY_MOVES[EntryState.PARKED]


@pytest.mark.parametrize("values", [{"status": "completed"}, {"finished_at": at(1)}, {"status": "no such"}])
def test_the_database_itself_refuses_a_half_made_move(alice: User, values: dict[str, Any]) -> None:
    task = text_task(alice)

    with pytest.raises(IntegrityError), transaction.atomic():
        tasks.filter(pk=task.pk).update(**values)
