"""How many statements a task takes, BEGIN and COMMIT included: each costs every task half a millisecond or more."""

from collections.abc import Callable
from typing import TypeVar

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ai_tasks import completing, lease, process
from ai_tasks.completing import Answered
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest, submit_all
from queueing.entries import Handed
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import answer, at, plan, several, text_task

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]
Found = TypeVar("Found")
tasks = AIGenerationTask.objects


def counted(step: Callable[[], Found], at_most: int) -> Found:
    with CaptureQueriesContext(connection) as queries:
        found = step()
    assert len(queries) <= at_most, "\n".join(each["sql"][:120] for each in queries.captured_queries)
    return found


def walk(alice: User, *, submit: int, admit: int, begin: int, settle: int) -> None:
    counted(lambda: text_task(alice), submit)
    (each,) = counted(plan, admit).dispatches
    held = {"dispatch_id": each.dispatch_id, "worker": process.boot_id(), "now": at(1)}
    counted(lambda: lease.begin(tasks.all(), each.task_id, each.epoch, **held), begin)
    counted(lambda: tasks.complete(each.task_id, each.epoch, answer(), now=at(2)), settle)


def together(alice: User, count: int, *, admit: int, begin: int, settle: int) -> None:
    several(alice, count)
    handed = [Handed(*(each.task_id, each.epoch, each.dispatch_id)) for each in counted(plan, admit).dispatches]
    begun = counted(lambda: lease.begin_all(tasks.all(), handed, worker=process.boot_id(), now=at(1)), begin)
    ended = [Answered(each.task.pk, each.epoch, answer()) for each in begun if each]
    done = counted(lambda: completing.complete_all(tasks.all(), ended, at(2)), settle)
    assert len(done) == count
    assert all(done)


def test_a_task_takes_no_more_statements_than_it_did(alice: User) -> None:
    walk(alice, submit=20, admit=20, begin=10, settle=20)

    walk(alice, submit=8, admit=15, begin=7, settle=16)


def test_many_that_come_together_take_no_more_than_one(alice: User) -> None:
    together(alice, 3, admit=20, begin=10, settle=20)

    together(alice, 30, admit=15, begin=7, settle=16)


def test_twenty_that_are_submitted_together_take_one_statement_more_than_one(alice: User) -> None:
    wish = TaskRequest(type="text.generate", input={"prompt": "Name a river."}, model="simulator/sim-1")
    submit_all(alice, [wish], now=at(0))

    tasks = counted(lambda: submit_all(alice, [wish] * 20, now=at(0)), 9)

    assert len({task.entry.fair_tag for task in tasks if task.entry}) == 20


def test_a_budget_of_all_costs_thirty_as_much_as_one(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1000")
    together(alice, 3, admit=25, begin=10, settle=25)

    together(alice, 1, admit=18, begin=7, settle=19)
    together(alice, 30, admit=18, begin=7, settle=19)
