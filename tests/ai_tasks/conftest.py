"""Providers, limits and money of the engine's tests."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ai_tasks import clock
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Budget
from providers import control, pricing
from providers.models import Price, ProviderLimit, Route, RouteCandidate
from tests.engine import NOW

SetLimits = Callable[..., None]
MakeBudget = Callable[..., Budget]


@pytest.fixture
def second_provider(settings: Any, providers_ready: None) -> None:
    """Set up another simulated provider, `second`, and the route `both`: first the simulator, then it."""
    settings.AI_PROVIDERS = {"simulator": {"adapter": "simulator"}, "second": {"adapter": "simulator"}}
    control.ensure_providers(clock.now())
    route = Route.objects.create(alias="both")
    for position, provider in enumerate(("simulator", "second")):
        RouteCandidate.objects.create(route=route, position=position, provider_id=provider, model="sim-1")


@pytest.fixture
def set_limits(providers_ready: None) -> SetLimits:
    """Return a function that sets the simulator's limits, or those of one of its models."""

    def change(model: str = "", **limits: int | None) -> None:
        unlimited = dict.fromkeys(("max_concurrency", "requests_per_minute", "tokens_per_minute"))
        ProviderLimit.objects.update_or_create(provider_id="simulator", model=model, defaults=unlimited | limits)

    return change


@pytest.fixture
def make_budget(providers_ready: None) -> MakeBudget:
    """Return a function that puts a monthly limit in force."""

    def make(limit_usd: str | Decimal, scope: str = "global", key: str = "") -> Budget:
        budget = Budget(scope=scope, scope_key=key, limit_usd=Decimal(limit_usd))
        budgets.store(budget, NOW)
        return budget

    return make


@pytest.fixture
def unpriced_model(providers_ready: None) -> str:
    """Return a model of the simulator that has no price."""
    Price.objects.filter(model="sim-unpriced").delete()
    pricing.forget()
    return "simulator/sim-unpriced"
