"""The rows that are made once."""

import threading
from datetime import datetime, timedelta

import pytest
from django.db import connection
from pytest_django import Settings

from providers import control, routing
from providers.models import Circuit, Price, Provider, ProviderLimit, Route, RouteCandidate
from providers.types import Limits


@pytest.fixture(autouse=True)
def _two_providers(settings: Settings) -> None:
    settings.AI_PROVIDERS = {
        "simulator": {"adapter": "simulator"},
        "alice-ai": {"adapter": "openai", "base_url": "http://alice.invalid/v1"},
    }
    settings.AI_DEFAULT_ROUTE = ["alice-ai/org/model", "simulator/sim-1", "bobs-ai/m"]


@pytest.mark.django_db
def test_every_provider_gets_its_rows(now: datetime) -> None:
    control.ensure_providers(now)

    assert routing.limits("simulator") == {"": Limits(64, None, None)}
    assert routing.limits("alice-ai") == {"": Limits(16, None, None)}
    assert set(Circuit.objects.values_list("provider", flat=True)) == {"simulator", "alice-ai"}
    assert set(Price.objects.values_list("provider", "model")) == {("simulator", "sim-1"), ("simulator", "sim-large")}


@pytest.mark.django_db
def test_the_default_route_leaves_out_who_is_not_configured(now: datetime) -> None:
    control.ensure_providers(now)

    assert [str(candidate) for candidate in routing.resolve("default")] == ["alice-ai/org/model", "simulator/sim-1"]


@pytest.mark.django_db
def test_what_an_operator_changed_stays(now: datetime) -> None:
    control.ensure_providers(now)
    ProviderLimit.objects.filter(provider="simulator").update(max_concurrency=3)
    Price.objects.filter(model="sim-large").delete()
    RouteCandidate.objects.filter(position=0).delete()

    control.ensure_providers(now + timedelta(days=1))

    assert routing.limits("simulator")[""].max_concurrency == 3
    assert list(Price.objects.values_list("model", flat=True)) == ["sim-1"]
    assert [str(candidate) for candidate in routing.resolve("default")] == ["simulator/sim-1"]


@pytest.mark.django_db
def test_a_missing_circuit_is_made_again(now: datetime) -> None:
    control.ensure_providers(now)
    Circuit.objects.all().delete()

    control.ensure_providers(now)

    assert Circuit.objects.count() == 2


@pytest.mark.django_db
def test_a_simulator_behind_http_has_prices_too(settings: Settings, now: datetime) -> None:
    settings.AI_PROVIDERS["alice-ai"]["options"] = {"simulate": True}

    control.ensure_providers(now)

    assert Price.objects.filter(provider="alice-ai").count() == 2


@pytest.mark.django_db(transaction=True)
def test_several_processes_may_do_it_at_once(now: datetime) -> None:
    def ensure() -> None:
        try:
            control.ensure_providers(now)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    failures: list[Exception] = []
    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    counts = [model.objects.count() for model in (Provider, ProviderLimit, Circuit, Price, Route, RouteCandidate)]
    assert failures == []
    assert counts == [2, 2, 2, 2, 1, 2]
