"""Admission under budgets: the bound of a cost is held before the call."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import waiting
from ai_tasks.accounts import budgets
from ai_tasks.locks import ProviderBusy
from ai_tasks.models import AIGenerationTask, BudgetPeriod, Hold
from ai_tasks.purse import Purse
from config.chaos.invariants import violations
from providers import control
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, admitted, answer, at, claimed, entry_of, plan, several, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def finish(epoch: int, task: AIGenerationTask, seconds: float) -> None:
    assert tasks.complete(task.pk, epoch, answer(), now=at(seconds))


def test_the_bound_of_the_cost_is_held_before_the_call(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    make_budget("1", "user", str(alice.pk))
    text_task(alice, max_output_tokens=1000)

    plan()

    amounts = set(Hold.objects.values_list("amount_usd", flat=True))
    assert amounts == {Decimal("0.0004009")}
    assert list(BudgetPeriod.objects.values_list("held_usd", flat=True)) == [Decimal("0.0004009")] * 2
    assert violations() == []


def test_of_fifty_tasks_a_budget_for_ten_lets_ten_pass_and_parks_forty(alice: User, make_budget: MakeBudget) -> None:
    several(alice, 50, max_output_tokens=1000)
    budget = make_budget(Decimal("0.0004009") * 10)

    assert sum(admitted(plan(limit=100)) for _ in range(5)) == 10

    parked = QueueEntry.objects.parked()
    assert set(parked.values_list("parked_reason", "parked_key")) == {("budget", str(budget.pk))}
    assert parked.count() == 40
    assert BudgetPeriod.objects.get().held_usd == BudgetPeriod.objects.get().limit_usd
    assert violations() == []


def test_money_that_is_given_back_wakes_who_waits_for_it(alice: User, make_budget: MakeBudget) -> None:
    several(alice, 2, max_output_tokens=1000)
    make_budget("0.0005")
    lease = claimed()
    assert admitted(plan()) == 0

    finish(lease.epoch, lease.task, 1)

    assert admitted(plan(now=at(1))) == 1


def test_a_raised_budget_wakes_who_waits_for_it(alice: User, make_budget: MakeBudget) -> None:
    several(alice, 1)
    make_budget("0.000001")
    plan()
    entry, period = QueueEntry.objects.get(), BudgetPeriod.objects.get()
    assert (entry.parked_key, entry.parked_until) == (str(period.budget_id), period.ends_at)

    period.budget.limit_usd = Decimal(1)
    budgets.store(period.budget, at(5))

    assert admitted(plan(now=at(5))) == 1


def test_a_probe_that_cannot_be_paid_is_left_to_somebody_else(alice: User, bob: User, make_budget: MakeBudget) -> None:
    text_task(alice)
    text_task(bob)
    make_budget("0.000001", "user", str(alice.pk))
    control.trip("simulator", cause="unavailable", now=at(0))

    found = plan(now=at(3600))

    assert [each.task_id for each in found.dispatches] == [AIGenerationTask.objects.get(owner=bob).pk]


def test_who_wants_as_much_as_somebody_who_was_refused_is_parked_without_a_try(
    alice: User, make_budget: MakeBudget, django_assert_max_num_queries: Any
) -> None:
    tasks_of_alice = several(alice, 20, max_output_tokens=1000)
    make_budget("0.0001")
    small = text_task(alice, max_output_tokens=10)

    with django_assert_max_num_queries(30 + 2 * len(tasks_of_alice)):
        assert admitted(plan()) == 1

    assert entry_of(small).state == "queued"


def test_a_parked_task_says_which_budget_has_no_room_and_when_it_begins_anew(
    alice: User, make_budget: MakeBudget
) -> None:
    task = text_task(alice)
    make_budget("0.000001", "user", str(alice.pk))
    plan()

    (why,) = waiting.explain([task], at(1)).values()

    assert (why.reason, why.until) == ("budget", BudgetPeriod.objects.get().ends_at)
    assert why.budget
    assert (why.budget.scope, why.budget.key, why.budget.limit_usd) == ("user", str(alice.pk), "0.000001")
    assert (why.budget.used_usd, why.budget.resets_at) == ("0", "2026-12-01T00:00:00Z")


def test_of_two_budgets_the_tight_one_refuses_and_the_other_holds_nothing(alice: User, make_budget: MakeBudget) -> None:
    several(alice, 1)
    make_budget("1")
    tight = make_budget("0.000001", "user", str(alice.pk))

    assert admitted(plan()) == 0

    assert QueueEntry.objects.get().parked_key == str(tight.pk)
    assert list(BudgetPeriod.objects.values_list("held_usd", flat=True)) == [0, 0]


def test_money_that_is_spent_between_choosing_and_holding_undoes_the_plan(make_budget: MakeBudget) -> None:
    (period,) = budgets.current_periods([make_budget("1")], NOW)
    purse = Purse(AIGenerationTask.objects.all(), NOW)
    own = purse.periods(QueueEntry(owner_key="1"), "remote")
    assert purse.hold(own, Decimal("0.6")) is None

    BudgetPeriod.objects.filter(pk=period.pk).update(spent_usd=Decimal("0.5"))

    with pytest.raises(ProviderBusy):
        purse.store()


def test_what_one_plan_has_taken_already_is_not_there_for_the_next_entry(make_budget: MakeBudget) -> None:
    (period,) = budgets.current_periods([make_budget("1")], NOW)
    purse = Purse(AIGenerationTask.objects.all(), NOW)
    own = purse.periods(QueueEntry(owner_key="1"), "remote")

    refusals = [purse.hold(own, Decimal("0.4")) for _ in range(3)]
    purse.store()

    assert refusals == [None, None, period]
    assert BudgetPeriod.objects.get().held_usd == Decimal("0.8")
