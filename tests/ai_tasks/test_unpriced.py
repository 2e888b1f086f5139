"""Calls whose price is not known: a policy of the provider, and never free by accident."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks.errors import UnpricedModel
from ai_tasks.models import AIGenerationTask, Hold, LedgerEntry
from config.chaos.invariants import violations, violations_at_rest
from providers import pricing
from providers.models import Price, Provider, RouteCandidate
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import admitted, answer, at, claimed, fresh, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
MODEL = "simulator/sim-unpriced"


def set_policy(unpriced: str, provider: str = "simulator") -> None:
    assumed = {"assumed_input_usd": 10, "assumed_output_usd": 20} if unpriced == "assume" else {}
    Provider.objects.filter(pk=provider).update(unpriced=unpriced, **assumed)
    pricing.forget()


def set_price(usd: str = "1", model: str = "sim-unpriced") -> None:
    prices = dict.fromkeys(("input_usd", "output_usd"), Decimal(usd))
    Price.objects.create(provider_id="simulator", model=model, effective_from=pricing.ALWAYS, source="test", **prices)
    pricing.forget()


def complete(task: AIGenerationTask) -> LedgerEntry:
    tasks.complete(task.pk, claimed().epoch, answer(), now=at(1))
    return LedgerEntry.objects.get(task=task)


def test_without_a_budget_it_runs_and_is_marked_unpriced(alice: User) -> None:
    charge = complete(task := text_task(alice, model=MODEL))

    assert (charge.amount_usd, charge.unpriced) == (None, 1)
    assert fresh(task).cost_usd is None


@pytest.mark.parametrize("policy", ["without_budget", "refuse"])
def test_under_a_budget_it_is_refused_with_what_to_do(alice: User, make_budget: MakeBudget, policy: str) -> None:
    make_budget("1", "user", str(alice.pk))
    set_policy(policy)

    with pytest.raises(UnpricedModel, match="sync_prices") as refusal:
        text_task(alice, model=MODEL)

    assert refusal.value.errors[0].pointer == "/model"
    assert not AIGenerationTask.objects.exists()


def test_a_provider_may_refuse_it_always(alice: User) -> None:
    set_policy("refuse")

    with pytest.raises(UnpricedModel):
        text_task(alice, model=MODEL)

    assert text_task(alice).pk


def test_a_provider_may_allow_it_past_every_budget_and_the_budget_shows_it(
    alice: User, make_budget: MakeBudget
) -> None:
    make_budget("0")
    set_policy("allow")

    charge = complete(text_task(alice, model=MODEL))

    assert (charge.amount_usd, charge.unpriced) == (None, 1)
    assert list(Hold.objects.values_list("amount_usd", flat=True)) == [0]
    assert violations_at_rest() == []


def test_an_assumed_price_is_held_and_charged_and_said(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    set_policy("assume")

    task = text_task(alice, model=MODEL, max_output_tokens=1000)
    charge = complete(task)

    assert Hold.objects.get().amount_usd >= Decimal("0.02")
    assert charge.amount_usd == (10 * Decimal(10) + 5 * Decimal(20)) / 1_000_000
    assert (charge.unpriced, "assumed" in charge.reason) == (0, True)


def test_an_assumed_price_that_does_not_fit_is_over_budget(alice: User, make_budget: MakeBudget) -> None:
    make_budget("0.01")
    set_policy("assume")
    text_task(alice, model="simulator/sim-1", max_output_tokens=1000)

    with pytest.raises(Exception, match="no room"):
        text_task(alice, model=MODEL, max_output_tokens=1000)


def test_a_budget_that_came_later_parks_it_until_there_is_a_price(alice: User, make_budget: MakeBudget) -> None:
    text_task(alice, model=MODEL)
    make_budget("1")

    assert admitted(plan()) == 0
    entry = QueueEntry.objects.get()
    assert (entry.parked_reason, entry.parked_key) == ("unpriced", MODEL)

    set_price()
    QueueEntry.objects.wake_key("unpriced", MODEL)
    assert admitted(plan()) == 1
    assert violations() == []


def test_a_model_that_is_free_passes_a_budget_that_is_used_up(alice: User, make_budget: MakeBudget) -> None:
    make_budget("0")
    set_price("0")

    charge = complete(text_task(alice, model=MODEL))

    assert (charge.amount_usd, charge.unpriced) == (0, 0)
    assert violations_at_rest() == []


def test_a_model_that_is_free_passes_a_budget_that_is_overspent(alice: User, make_budget: MakeBudget) -> None:
    budget = make_budget("1")
    set_price("0")
    complete(text_task(alice))
    budget.periods.update(spent_usd=Decimal(3))

    assert text_task(alice, model=MODEL).pk
    assert admitted(plan()) == 1


@pytest.mark.parametrize("policy", ["without_budget", "refuse"])
def test_a_route_goes_on_to_the_candidate_that_has_a_price(
    alice: User, second_provider: None, make_budget: MakeBudget, policy: str
) -> None:
    make_budget("1")
    set_policy(policy)
    RouteCandidate.objects.filter(route="both", position=0).update(model="sim-unpriced")

    task = text_task(alice, model="both")

    assert admitted(plan("simulator")) == 0
    assert admitted(plan("second")) == 1
    assert (fresh(task).provider, fresh(task).model, fresh(task).route_position) == ("second", "sim-1", 1)
    assert violations() == []


def test_the_api_answers_422_and_names_the_member(client: Any, alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    client.force_login(alice)
    body = {"type": "text.generate", "model": MODEL, "input": {"prompt": "Name a river."}}

    answered = client.post("/api/v1/tasks", body, content_type="application/json")

    assert (answered.status_code, answered.json()["code"]) == (422, "unpriced_model")
    assert [each["pointer"] for each in answered.json()["errors"]] == ["/model"]
