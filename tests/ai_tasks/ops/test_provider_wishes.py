"""Pause, drain, resume, force, bound: what each does at the provider, for how long, and what is noted."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import lease
from ai_tasks.models import AIGenerationTask, AuditEntry
from ai_tasks.ops import circuits, limits, queues
from providers import control, routing
from providers.models import Circuit, ProviderLimit
from providers.types import Limits
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Priority
from tests.ai_tasks.ops.people import by
from tests.engine import NOW, WORKER, admitted, at, at_once, entry_of, fresh, plan, several, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


def begin(handed: Any, seconds: float) -> Any:
    tasks = AIGenerationTask.objects.all()
    told = {"dispatch_id": handed.dispatch_id, "worker": WORKER, "now": at(seconds)}
    return lease.begin(tasks, handed.task_id, handed.epoch, **told)


def test_a_pause_gives_back_what_was_handed_over(alice: User) -> None:
    text_task(alice)
    [handed] = plan().dispatches

    queues.pause_provider("simulator", by())

    assert begin(handed, 1) is None
    assert admitted(plan(now=at(2))) == 0


def test_a_drain_lets_it_begin_and_admits_no_more(alice: User) -> None:
    text_task(alice)
    [handed] = plan().dispatches
    waiting = text_task(alice)

    queues.drain_provider("simulator", by(), until=at(3600))

    assert begin(handed, 1) is not None
    assert admitted(plan(now=at(2))) == 0
    assert entry_of(waiting).state == "waiting"
    assert admitted(plan(now=at(3601))) == 1


def test_a_resume_ends_a_drain_altogether(alice: User) -> None:
    queues.drain_provider("simulator", by())

    queues.resume_provider("simulator", by())

    assert not TaskQueue.objects.filter(is_draining=True).exists()
    assert [entry.action for entry in AuditEntry.objects.all()] == ["resume-provider", "drain-provider"]
    assert AuditEntry.objects.latest("id").before["draining"] is True


def test_a_circuit_is_forced_open_for_a_while_and_then_goes_back_to_itself(alice: User) -> None:
    circuits.force_circuit("simulator", "forced_open", by(), until=at(600))

    assert routing.gate("simulator", at(1)).until == at(600)
    assert circuits.give_back_due(at(599)) == 0
    assert routing.gate("simulator", at(601)).reason == "circuit_open"
    assert circuits.give_back_due(at(601)) == 1
    assert routing.gate("simulator", at(601)).probe
    assert [entry.actor for entry in AuditEntry.objects.all()] == ["system", "carol"]
    assert Circuit.objects.get(provider="simulator", model="").forced_until is None


def test_a_longer_time_replaces_a_shorter_one() -> None:
    circuits.force_circuit("simulator", "forced_open", by(), until=at(600))

    assert circuits.force_circuit("simulator", "forced_open", by(), until=at(1200))
    assert circuits.give_back_due(at(601)) == 0
    assert not circuits.force_circuit("simulator", "forced_open", by(), until=at(1200))


def test_closed_closes_and_stays_automatic() -> None:
    control.trip("simulator", cause="unavailable", now=NOW)

    assert circuits.force_circuit("simulator", "closed", by())

    entry = AuditEntry.objects.get()
    assert (entry.before["state"], entry.after) == ("open", {"state": "closed", "mode": "auto"})


def test_limits_count_at_once_and_are_put_back_when_their_time_is_over(alice: User, settings: Any) -> None:
    several(alice, 3)
    before = routing.limits("simulator")[""]

    limits.set_limits("simulator", Limits(max_concurrency=1), by(), back_at=at(1800))

    assert admitted(plan()) == 1
    assert limits.revert_due(at(1799)) == 0
    assert limits.revert_due(at(1800)) == 1
    assert routing.limits("simulator")[""] == before
    assert ProviderLimit.objects.get(model="", provider="simulator").back_at is None
    assert limits.revert_due(at(1801)) == 0
    [reverted, changed] = AuditEntry.objects.all()
    assert (changed.after["max_concurrency"], reverted.after["max_concurrency"]) == (1, before.max_concurrency)
    assert reverted.actor == "system"


def test_an_edit_for_good_forgets_what_was_to_come_back() -> None:
    limits.set_limits("simulator", Limits(max_concurrency=1), by(), back_at=at(1800))

    limits.set_limits("simulator", Limits(max_concurrency=2), by())

    assert limits.revert_due(at(1801)) == 0
    assert routing.limits("simulator")[""].max_concurrency == 2


def test_what_was_too_large_looks_again_when_the_limit_is_raised(alice: User) -> None:
    limits.set_limits("simulator", Limits(), by(), model="sim-1")
    limits.set_limits("simulator", Limits(tokens_per_minute=10), by(), model="sim-1")
    task = text_task(alice, model="simulator/sim-1")
    plan()
    assert entry_of(task).parked_reason == "unsatisfiable"

    limits.set_limits("simulator", Limits(tokens_per_minute=100_000), by(), model="sim-1")

    assert entry_of(task).state == "waiting"
    assert admitted(plan(now=at(1))) == 1


def test_waiting_tasks_are_given_another_priority_and_the_old_one_is_noted(alice: User) -> None:
    tasks = several(alice, 2)
    plan(limit=1)

    moved = queues.reprioritise([task.pk for task in tasks], Priority.URGENT, by(), provider="simulator")

    assert moved == 1
    assert sorted(fresh(task).priority for task in tasks) == [Priority.URGENT, Priority.NORMAL]
    entry = AuditEntry.objects.get()
    assert (entry.count, entry.after) == (1, {"priority": "urgent"})
    assert list(entry.before["priorities"].values()) == ["normal"]
    assert QueueEntry.objects.waiting().get().priority == Priority.URGENT


def test_a_whole_order_is_derived_anew(alice: User) -> None:
    several(alice, 2)

    assert queues.reorder_queue("simulator", by(now=NOW + timedelta(seconds=1))) == 2
    assert AuditEntry.objects.get().count == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_sweeps_at_once_one_gives_a_circuit_back() -> None:
    control.ensure_providers(NOW)
    circuits.force_circuit("simulator", "forced_open", by(), until=at(600))

    given = at_once([lambda: circuits.give_back_due(at(601))] * 4)

    assert sorted(given, key=str) == [0, 0, 0, 1]
    assert AuditEntry.objects.filter(actor="system").count() == 1
