"""Operators change the order and the limits while workers admit and claim."""

import pytest
from django.contrib.auth.models import User

from ai_tasks.lease import Lease
from ai_tasks.models import AIGenerationTask
from config.chaos.invariants import violations
from providers import control
from providers.types import Limits
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Priority
from tests.engine import NOW, Held, admitted, at_once, claim, claimed, plan, several

pytestmark = [pytest.mark.usefixtures("providers_ready"), pytest.mark.django_db(transaction=True)]


def reorder(*tasks: AIGenerationTask) -> int:
    moved: int = TaskQueue.objects.reorder_by_priority({task.pk: Priority.HIGH for task in tasks})
    return moved


def test_reorder_and_claim_at_once_lease_each_task_once(alice: User, bob: User) -> None:
    control.set_limits("simulator", Limits())
    tasks = several(alice, 8) + several(bob, 8)

    def work() -> list[Lease]:
        return [lease for lease in (claim() for _ in range(4)) if lease is not None]

    def meddle() -> int:
        return reorder(*tasks[::2]) + TaskQueue.objects.reorder_by_priority(provider="simulator")

    outcomes = at_once([work, meddle, work, meddle, work])
    assert not [each for each in outcomes if isinstance(each, Exception)], outcomes
    # Beside a reorder that is not committed a claim may find nothing: its rows are locked.
    leases = [lease for outcome in outcomes if isinstance(outcome, list) for lease in outcome]
    leases += [claimed() for _ in range(16 - len(leases))]

    assert {lease.task.pk for lease in leases} == {task.pk for task in tasks}
    assert claim() is None
    assert violations() == []


@pytest.mark.postgresql
def test_a_claim_beside_an_unfinished_reorder_leaves_its_rows_alone(alice: User) -> None:
    first, second, third = several(alice, 3)

    with Held(lambda: reorder(third)):
        beside = claimed()
    after = claimed()

    assert [beside.task.pk, after.task.pk] == [first.pk, third.pk]
    assert QueueEntry.objects.waiting().get().task_id == second.pk


@pytest.mark.postgresql
def test_a_reorder_beside_an_unfinished_claim_moves_what_still_waits(alice: User) -> None:
    first, second, third = several(alice, 3)

    with Held(lambda: claimed()) as claiming:
        outcomes = at_once([lambda: reorder(first, third), claiming.end])
    moved = [each for each in outcomes if isinstance(each, int)]

    assert moved == [1]
    assert QueueEntry.objects.get(task_id=first.pk).priority == Priority.NORMAL
    assert [claimed().task.pk, claimed().task.pk] == [third.pk, second.pk]


@pytest.mark.parametrize(("before", "after"), [(10, 3), (3, 10)])
def test_a_limit_edited_among_admissions_holds_from_the_next_one_on(alice: User, before: int, after: int) -> None:
    several(alice, 30)
    control.set_limits("simulator", Limits(max_concurrency=before))

    outcomes = at_once([plan, lambda: control.set_limits("simulator", Limits(max_concurrency=after)), plan, plan])
    assert not [each for each in outcomes if isinstance(each, Exception)], outcomes
    between = QueueEntry.objects.at_provider().count()
    more = admitted(plan(now=NOW))

    # A slot of four or more is kept for urgent work.
    bounds = {before: before - (before >= 4), after: after - (after >= 4)}
    assert between in bounds.values()
    assert between + more == max(bounds[after], between)
    assert violations() == []


@pytest.mark.postgresql
def test_an_admission_reads_the_limit_that_was_committed_while_it_waited(alice: User) -> None:
    several(alice, 5)
    control.set_limits("simulator", Limits(max_concurrency=3))

    with Held(lambda: control.set_limits("simulator", Limits(max_concurrency=1))):
        unseen = admitted(plan(limit=2))

    assert unseen == 2
    assert admitted(plan()) == 0
