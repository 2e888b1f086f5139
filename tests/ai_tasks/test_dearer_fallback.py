"""Fallbacks and money: a dearer one takes its own hold, keeps to the task's own bound, or is passed over."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import settlement
from ai_tasks.accounts import bounds, budgets
from ai_tasks.errors import BudgetExceeded
from ai_tasks.models import AIGenerationTask, Attempt, BudgetPeriod, Hold
from config.chaos.invariants import violations
from providers import control, pricing
from providers.errors import Overloaded, StreamCut
from providers.models import Price, Route, RouteCandidate
from providers.types import Candidate, Usage
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, admitted, at, claimed, entry_of, fresh, plan, text_task

tasks = AIGenerationTask.objects
DEARER = 10


@pytest.fixture
def dearer(settings: Any) -> None:
    """The route `both`: the simulator, then `second`, which costs ten times as much, then `third`, which is free."""
    settings.AI_PROVIDERS = {name: {"adapter": "simulator"} for name in ("simulator", "second", "third")}
    control.ensure_providers(NOW)
    for provider, factor in (("second", DEARER), ("third", 0)):
        for row in Price.objects.filter(provider=provider):
            row.input_usd, row.output_usd = Decimal("0.1") * factor, Decimal("0.4") * factor
            row.cache_read_usd = row.cache_write_usd = row.reasoning_usd = None
            row.save()
    pricing.forget()
    route = Route.objects.create(alias="both")
    for position, provider in enumerate(("simulator", "second")):
        RouteCandidate.objects.create(route=route, position=position, provider_id=provider, model="sim-1")


pytestmark = [pytest.mark.usefixtures("providers_ready"), pytest.mark.usefixtures("dearer")]


def add_place(provider: str, model: str = "sim-1") -> None:
    position = RouteCandidate.objects.filter(route="both").count()
    RouteCandidate.objects.create(route_id="both", position=position, provider_id=provider, model=model)


def fall_back(task: AIGenerationTask, seconds: float = 1, usage: Usage | None = None) -> None:
    """Let the first provider fail in a way that the route answers with its next candidate."""
    error = Overloaded("Too much to do.")
    error.usage = usage
    assert tasks.fail(task.pk, claimed(now=NOW).epoch, error, now=at(seconds))


def bound_of(task: AIGenerationTask, provider: str) -> Decimal:
    entry = entry_of(task)
    candidate = Candidate(provider, "sim-1")
    bound = bounds.bound_usd(candidate, entry.estimate_input_tokens, entry.max_output_tokens, NOW)
    assert bound is not None
    return bound


def test_a_dearer_fallback_takes_a_hold_of_its_own(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = text_task(alice, model="both", max_output_tokens=1000)
    fall_back(task)

    assert admitted(plan("second", now=at(2))) == 1

    cheap, dear = Hold.objects.order_by("attempt__epoch").values_list("amount_usd", flat=True)
    assert dear == DEARER * cheap == Attempt.objects.get(epoch=2).reserved_usd
    assert BudgetPeriod.objects.get().held_usd == dear
    assert violations() == []


def test_a_fallback_that_does_not_fit_into_the_budget_goes_on_to_one_that_does(
    alice: User, make_budget: MakeBudget
) -> None:
    make_budget("0.001")
    add_place("third")
    task = text_task(alice, model="both", max_output_tokens=1000)
    fall_back(task)

    assert admitted(plan("second", now=at(2))) == 0
    assert admitted(plan("third", now=at(2))) == 1

    assert (fresh(task).provider, fresh(task).route_position) == ("third", 2)
    assert violations() == []


def test_a_fallback_that_does_not_fit_and_has_no_next_is_parked_until_the_budget_has_room(
    alice: User, make_budget: MakeBudget
) -> None:
    budget = make_budget("0.001")
    task = text_task(alice, model="both", max_output_tokens=1000)
    fall_back(task)

    assert admitted(plan("second", now=at(2))) == 0
    entry = entry_of(task)
    assert (entry.parked_reason, entry.parked_key) == ("budget", str(budget.pk))
    assert BudgetPeriod.objects.get().held_usd == 0

    budget.limit_usd = Decimal(1)
    budgets.store(budget, at(3))
    assert admitted(plan("second", now=at(3))) == 1
    assert violations() == []


def test_a_first_choice_whose_provider_has_spent_its_budget_is_passed_over(
    alice: User, make_budget: MakeBudget
) -> None:
    make_budget("0", "provider", "simulator")

    task = text_task(alice, model="both")

    assert admitted(plan("simulator")) == 0
    assert admitted(plan("second")) == 1
    assert fresh(task).provider == "second"


def test_a_task_is_refused_when_no_place_on_its_route_has_room(alice: User, make_budget: MakeBudget) -> None:
    make_budget("0", "provider", "simulator")
    make_budget("0.000001", "provider", "second")

    with pytest.raises(BudgetExceeded) as refusal:
        text_task(alice, model="both")

    assert refusal.value.members["budget"]["key"] == "simulator"


def test_the_output_cap_shrinks_to_what_the_tasks_own_bound_pays_at_the_dearer_place(alice: User) -> None:
    task = text_task(alice, model="both", max_output_tokens=1000, max_cost_usd=Decimal("0.0004009"))
    assert entry_of(task).max_output_tokens == 1000

    fall_back(task)

    assert 0 < entry_of(task).max_output_tokens < 100
    assert bound_of(task, "second") <= Decimal("0.0004009")
    assert admitted(plan("second", now=at(2))) == 1


def test_what_the_first_attempt_cost_is_taken_off_the_bound(alice: User) -> None:
    bound = Decimal("0.01")
    task = text_task(alice, model="both", max_output_tokens=1000, max_cost_usd=bound)
    fall_back(task, usage=Usage(output_tokens=20_000))

    spent = fresh(task).ledger.get().amount_usd

    assert bound_of(task, "second") <= bound - spent < bound_of(task, "second") + Decimal("0.000004")


def test_places_that_the_bound_does_not_pay_or_cannot_know_are_passed_over(alice: User) -> None:
    add_place("simulator", "sim-unpriced")
    add_place("third")
    task = text_task(alice, model="both", max_output_tokens=1000, max_cost_usd=Decimal("0.000002"))

    fall_back(task)

    assert (fresh(task).provider, fresh(task).route_position) == ("third", 3)


def test_a_task_whose_bound_pays_for_no_other_attempt_fails_and_says_so(alice: User) -> None:
    task = text_task(alice, model="both", max_output_tokens=1000, max_cost_usd=Decimal("0.000002"))

    fall_back(task)

    assert fresh(task).status == "failed"
    assert fresh(task).error["code"] == "overloaded"
    assert violations() == []


def test_a_retry_keeps_to_what_is_left_of_the_bound(alice: User) -> None:
    task = text_task(alice, model="simulator/sim-1", max_output_tokens=1000, max_cost_usd=Decimal("0.0005"))
    error = StreamCut("It broke off.")
    error.usage = Usage(output_tokens=900)
    tasks.fail(task.pk, claimed().epoch, error, now=at(1))

    spent = fresh(task).ledger.get().amount_usd

    assert entry_of(task).max_output_tokens < 1000
    assert spent + bound_of(task, "simulator") <= Decimal("0.0005")


def test_a_lost_attempt_counts_with_what_is_held_for_it(alice: User) -> None:
    task = text_task(alice, model="simulator/sim-1", max_output_tokens=1000, max_cost_usd=Decimal("0.0005"))
    claimed()
    held = Attempt.objects.get().reserved_usd
    QueueEntry.objects.update(leased_until=at(-1))

    settlement.lose(tasks.all(), QueueEntry.objects.get(), at(1))

    assert held + bound_of(task, "simulator") <= Decimal("0.0005")
