"""An operator sets budgets and prices in Django admin."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks.accounts.models import Budget
from providers import gateway, pricing
from providers.models import Price, Provider
from providers.types import Candidate, Usage
from queueing.models import QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, plan, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


@pytest.fixture
def operator(client: Client) -> Client:
    """Return the client, logged in as somebody who may do anything."""
    client.force_login(User.objects.create_superuser("carol"))
    return client


def budget(**fields: Any) -> dict[str, Any]:
    usual = {"scope": "global", "scope_key": "", "interval": "month", "limit_usd": "0.5", "time_zone": "Asia/Tokyo"}
    return {**usual, "is_enabled": "on", **fields}


def add(operator: Client, **fields: Any) -> Any:
    return operator.post(reverse("admin:ai_tasks_budget_add"), budget(**fields))


def test_a_limit_is_an_exact_decimal(operator: Client) -> None:
    assert add(operator, limit_usd="0.0000000001").status_code == 302

    assert Budget.objects.get().limit_usd == Decimal("0.0000000001")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limit_usd": "-1"}, "limit_usd"),
        ({"limit_usd": "1e30"}, "limit_usd"),
        ({"limit_usd": "NaN"}, "limit_usd"),
        ({"limit_usd": "0.00000000001"}, "limit_usd"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"scope": "provider", "scope_key": "simulatr"}, "scope_key"),
        ({"scope": "user", "scope_key": "999999"}, "scope_key"),
        ({"scope": "user", "scope_key": "٣"}, "scope_key"),
        ({"scope": "task_type", "scope_key": "text.generat"}, "scope_key"),
        ({"scope": "provider"}, None),
        ({"scope_key": "simulator"}, None),
    ],
)
def test_a_budget_that_would_bound_nothing_is_refused(
    operator: Client, fields: dict[str, str], field: str | None
) -> None:
    answer = add(operator, **fields)

    assert answer.status_code == 200
    assert (field or "__all__") in answer.context["adminform"].form.errors
    assert not Budget.objects.exists()


def test_a_raised_limit_wakes_what_waited_for_it(operator: Client, alice: User, make_budget: MakeBudget) -> None:
    text_task(alice)
    made = make_budget("0.000001")
    plan()
    assert QueueEntry.objects.get().parked_reason == "budget"

    answer = operator.post(reverse("admin:ai_tasks_budget_change", args=[made.pk]), budget(time_zone="UTC"))

    assert answer.status_code == 302
    assert QueueEntry.objects.get().state == "waiting"


def test_a_budget_is_disabled_and_not_deleted(operator: Client, make_budget: MakeBudget) -> None:
    made = make_budget("1")

    assert operator.post(reverse("admin:ai_tasks_budget_delete", args=[made.pk]), {"post": "yes"}).status_code == 403


def test_an_operators_price_counts_at_once(operator: Client) -> None:
    fields = {
        "provider": "simulator",
        "model": "sim-9",
        "match": '{"starts_with": "sim-9"}',
        "rank": 0,
        "above_input_tokens": 0,
        "effective_from_0": "2026-11-01",
        "effective_from_1": "00:00",
        "input_usd": "2",
        "source": "our contract",
    }

    assert operator.post(reverse("admin:providers_price_add"), fields).status_code == 302

    assert gateway.cost_usd(Candidate("simulator", "sim-9b"), Usage(1_000_000), NOW) == 2


def test_an_imported_price_is_seen_and_not_changed(operator: Client) -> None:
    row = Price.objects.create(
        provider_id="simulator", model="m", origin="imported", effective_from=pricing.ALWAYS, source="a list"
    )

    page = operator.get(reverse("admin:providers_price_change", args=[row.pk]))
    change = operator.post(reverse("admin:providers_price_change", args=[row.pk]), {"model": "other"})

    assert page.status_code == 200
    assert change.status_code == 403
    assert Price.objects.get(pk=row.pk).model == "m"


def test_an_assumption_without_its_prices_is_refused_in_words(operator: Client) -> None:
    fields = {
        "unpriced": "assume",
        "limits-TOTAL_FORMS": 0,
        "limits-INITIAL_FORMS": 0,
    }

    answer = operator.post(reverse("admin:providers_provider_change", args=["simulator"]), fields)

    assert "State both prices" in answer.content.decode()
    assert Provider.objects.get(pk="simulator").unpriced == "without_budget"
