"""submission.submit: a row before it is a call, or nothing."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import BudgetPeriod, Hold
from ai_tasks.errors import BudgetExceeded, InvalidInput, QueueFull, UnknownModel, UnknownTaskType
from ai_tasks.models import AIGenerationTask, FinishHook
from ai_tasks.states import TaskStatus
from ai_tasks.submission import TaskRequest, submit
from config.chaos.invariants import violations
from providers.models import RouteCandidate
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Priority
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, at, entry_of, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


def assert_nothing_written() -> None:
    assert not AIGenerationTask.objects.exists()
    assert not QueueEntry.objects.exists()
    assert not FinishHook.objects.exists()


def test_a_task_and_its_entry_are_written_together(alice: User) -> None:
    task = text_task(alice, metadata={"a": "b"}, related=("order", "7"))

    entry = entry_of(task)
    assert (task.status, task.owner, task.epoch, task.created_at) == (TaskStatus.PENDING, alice, 0, NOW)
    assert (task.related_type, task.related_id, task.metadata) == ("order", "7", {"a": "b"})
    assert (entry.state, entry.provider, entry.model, entry.owner_key) == (
        "waiting",
        "simulator",
        "sim-1",
        str(alice.pk),
    )
    assert entry.deadline_at == task.deadline_at
    assert violations() == []


def test_the_route_is_a_snapshot(alice: User, second_provider: None) -> None:
    task = text_task(alice, model="both")

    RouteCandidate.objects.all().delete()

    assert fresh(task).route == [["simulator", "sim-1"], ["second", "sim-1"]]


def test_a_named_model_has_no_fallback_whatever_it_is_called(alice: User) -> None:
    task = text_task(alice, model="simulator/family/of:models")

    assert task.route == [["simulator", "family/of:models"]]
    assert task.requested_model == "simulator/family/of:models"


@pytest.mark.parametrize(
    "model", ["nobody/sim-1", "no-such-route", "", "simulator/", "/", "simulator/\x00", "🏃" * 200]
)
def test_an_unknown_model_is_refused(alice: User, model: str) -> None:
    with pytest.raises(UnknownModel) as refusal:
        text_task(alice, model=model)

    assert refusal.value.errors[0].pointer == "/model"
    assert_nothing_written()


def test_the_deadline_counts_from_now(alice: User) -> None:
    assert text_task(alice, deadline_seconds=60).deadline_at == at(60)


def test_the_deadline_counts_from_a_later_run_at(alice: User) -> None:
    task = text_task(alice, run_at=at(3600), deadline_seconds=60)

    assert task.deadline_at == at(3660)
    assert (entry_of(task).state, entry_of(task).parked_until) == ("parked", at(3600))


def test_the_deadline_counts_from_now_when_run_at_has_passed(alice: User) -> None:
    assert text_task(alice, run_at=at(-3600), deadline_seconds=60).deadline_at == at(60)


def test_without_a_wish_the_types_deadline_holds(alice: User) -> None:
    assert text_task(alice).deadline_at == NOW + timedelta(hours=24)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"prompt": ""},
        {"prompt": 1},
        {"prompt": "a", "extra": 1},
        {"messages": []},
        {"prompt": "a", "max_output_tokens": 0},
    ],
)
def test_an_input_that_does_not_fit_is_refused_with_a_pointer(alice: User, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        submit(alice, TaskRequest(type="text.generate", input=given), now=NOW)

    assert refusal.value.errors[0].pointer.startswith("/input")
    assert_nothing_written()


def test_an_unknown_type_is_refused(alice: User) -> None:
    with pytest.raises(UnknownTaskType):
        submit(alice, TaskRequest(type="no.such", input={}), now=NOW)

    assert_nothing_written()


def test_a_reserved_type_cannot_be_created_from_outside(alice: User) -> None:
    with pytest.raises(UnknownTaskType):
        submit(alice, TaskRequest(type="chat.reply", input={}), is_public=True, now=NOW)

    assert_nothing_written()


def test_a_full_queue_refuses_and_the_task_goes_with_it(alice: User) -> None:
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.update(hard_mark=0)

    with pytest.raises(QueueFull) as refusal:
        text_task(alice)

    assert refusal.value.retry_after_seconds is not None
    assert_nothing_written()


def test_a_task_joins_the_callers_transaction_and_vanishes_with_it(alice: User) -> None:
    with transaction.atomic():
        text_task(alice)
        transaction.set_rollback(True)

    assert_nothing_written()


def test_a_refusal_leaves_the_callers_transaction_usable(alice: User) -> None:
    with transaction.atomic():
        with pytest.raises(UnknownModel):
            text_task(alice, model="nobody/x")
        task = text_task(alice)

    assert fresh(task).status == TaskStatus.PENDING


def test_the_priority_is_the_callers_or_the_types(alice: User) -> None:
    assert text_task(alice, priority=Priority.URGENT).priority == Priority.URGENT
    assert text_task(alice).priority == Priority.NORMAL


def test_submission_reads_budgets_and_holds_nothing(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1.00")

    text_task(alice)

    assert not BudgetPeriod.objects.exists()
    assert not Hold.objects.exists()


def test_a_budget_that_is_spent_refuses(alice: User, make_budget: MakeBudget) -> None:
    budget = make_budget("1.00", "user", str(alice.pk))
    period = budgets.current_periods([budget], NOW)[0]
    BudgetPeriod.objects.filter(pk=period.pk).update(spent_usd=Decimal("1.00"))

    with pytest.raises(BudgetExceeded):
        text_task(alice)

    assert_nothing_written()


@pytest.mark.parametrize(("scope", "key"), [("user", "0"), ("provider", "second"), ("task_type", "chat.reply")])
def test_somebody_elses_budget_refuses_nothing(alice: User, make_budget: MakeBudget, scope: str, key: str) -> None:
    make_budget("0", scope, key)

    assert text_task(alice).status == TaskStatus.PENDING


def test_a_bound_on_the_cost_lowers_the_output_cap(alice: User) -> None:
    task = text_task(alice, max_output_tokens=4096, max_cost_usd=Decimal("0.0001"))

    entry = entry_of(task)
    cost = (entry.estimate_input_tokens * Decimal("0.10") + entry.max_output_tokens * Decimal("0.40")) / 1_000_000
    assert 0 < entry.max_output_tokens < 4096
    assert cost <= Decimal("0.0001") < cost + Decimal("0.0000004")


def test_a_generous_bound_leaves_the_output_cap(alice: User) -> None:
    assert entry_of(text_task(alice, max_output_tokens=10, max_cost_usd=Decimal(5))).max_output_tokens == 10


def test_a_bound_below_the_cost_of_the_input_is_refused(alice: User) -> None:
    with pytest.raises(InvalidInput) as refusal:
        text_task(alice, max_cost_usd=Decimal("0.0000001"))

    assert refusal.value.errors[0].pointer == "/max_cost_usd"
    assert_nothing_written()


def test_a_bound_on_an_unpriced_model_is_refused(alice: User, unpriced_model: str) -> None:
    with pytest.raises(InvalidInput):
        text_task(alice, model=unpriced_model, max_cost_usd=Decimal(1))

    assert_nothing_written()
