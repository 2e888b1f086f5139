"""Who may do the work."""

from datetime import datetime
from typing import Any

import pytest
from pytest_django import Settings

from providers import control, routing
from providers.models import ProviderLimit, Route, RouteCandidate
from providers.routing import UnknownModel
from providers.types import Candidate, Limits, ModelChoice

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ensured")]


@pytest.fixture(autouse=True)
def _two_providers(settings: Settings) -> None:
    settings.AI_PROVIDERS = {
        "simulator": {"adapter": "simulator"},
        "alice-ai": {"adapter": "openai", "base_url": "http://alice.invalid/v1"},
    }


def route(alias: str, *candidates: str) -> None:
    made = Route.objects.create(alias=alias)
    for position, candidate in enumerate(candidates):
        provider, _, model = candidate.partition("/")
        RouteCandidate.objects.create(route=made, position=position, provider_id=provider, model=model)


def test_an_alias_stands_for_its_candidates_in_order() -> None:
    route("fast", "simulator/sim-1", "alice-ai/small")

    assert routing.resolve("fast") == [Candidate("simulator", "sim-1"), Candidate("alice-ai", "small")]


@pytest.mark.parametrize("model", ["meta-llama/llama-4:free", "gpt 5", "モデル", "m" * 120])
def test_a_configured_provider_takes_any_model_name(model: str) -> None:
    assert routing.resolve(f"alice-ai/{model}") == [Candidate("alice-ai", model)]


@pytest.mark.parametrize(
    "model",
    [
        "", "/", "nobody", "nobody/m", "alice-ai", "alice-ai/", "/m", "alice-ai/\x00", "alice-ai/a\nb", "\x00",
        "default\n", "alice-ai/\ud800", "x" * 100_000, "alice-ai/" + "m" * 121, "'; drop table", "Default",
    ],
)  # fmt: skip
def test_anything_else_is_an_unknown_model(model: str) -> None:
    with pytest.raises(UnknownModel):
        routing.resolve(model)


def test_a_candidate_whose_provider_went_is_left_out(settings: Settings) -> None:
    route("fast", "alice-ai/small", "simulator/sim-1")

    settings.AI_PROVIDERS = {"simulator": {"adapter": "simulator"}}

    assert routing.resolve("fast") == [Candidate("simulator", "sim-1")]


def test_a_route_without_any_provider_is_unknown(settings: Settings) -> None:
    route("fast", "alice-ai/small")

    settings.AI_PROVIDERS = {"simulator": {"adapter": "simulator"}}

    with pytest.raises(UnknownModel):
        routing.resolve("fast")


def test_limits_are_keyed_by_model() -> None:
    ProviderLimit.objects.create(provider_id="simulator", model="sim-large", requests_per_minute=5)

    assert routing.limits("simulator") == {"": Limits(max_concurrency=64), "sim-large": Limits(requests_per_minute=5)}


def test_a_provider_without_rows_is_unlimited() -> None:
    assert routing.limits("nobody") == {"": Limits()}


def test_a_picker_offers_routes_first_and_then_priced_models(django_assert_num_queries: Any) -> None:
    route("alone", "simulator/sim-9")
    Route.objects.create(alias="empty")

    with django_assert_num_queries(3):
        choices = routing.models()

    assert choices == [
        ModelChoice("alone", "alone → simulator/sim-9"),
        ModelChoice("default", "default → simulator/sim-1"),
        ModelChoice("simulator/sim-1", "simulator/sim-1"),
        ModelChoice("simulator/sim-large", "simulator/sim-large"),
    ]
    assert all(routing.resolve(choice.id) for choice in choices)


def test_a_picker_offers_nothing_of_who_is_not_configured(settings: Settings, now: datetime) -> None:
    settings.AI_PROVIDERS = {"alice-ai": {"adapter": "openai", "base_url": "http://alice.invalid/v1"}}

    assert routing.models() == []
    control.ensure_providers(now)
    assert routing.models() == []
