"""What `manage.py check` says about providers."""

from typing import Any

import pytest
from django.core import checks
from pytest_django import Settings

from providers.checks import check_providers


def ids() -> list[str | None]:
    return [message.id for message in check_providers()]


def test_the_checks_are_registered() -> None:
    registered: list[Any] = list(checks.registry.registry.get_checks())

    assert check_providers in registered


def test_the_default_settings_are_right(settings: Settings) -> None:
    settings.AI_PROVIDERS = {"simulator": {"adapter": "simulator"}}

    assert ids() == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"adapter": "carrier-pigeon"}, "providers.E001"),
        ({}, "providers.E001"),
        ({"adapter": "simulator", "options": []}, "providers.E002"),
        ({"adapter": "simulator", "options": {"idle": 5}}, "providers.E003"),
        ({"adapter": "simulator", "options": {"idle_seconds": "5"}}, "providers.E004"),
        ({"adapter": "simulator", "options": {"idle_seconds": True}}, "providers.E004"),
        ({"adapter": "openai", "options": {"stream": 1}}, "providers.E004"),
        ({"adapter": "simulator", "options": {"idle_seconds": 0}}, "providers.E005"),
        ({"adapter": "openai", "key": "ALICE_AI_KEY"}, "providers.W001"),
    ],
)
def test_a_mistake_is_reported(settings: Settings, values: dict[str, Any], expected: str) -> None:
    settings.AI_PROVIDERS = {"simulator": {"adapter": "simulator"}, "alice-ai": values}

    assert ids() == [expected]


def test_a_key_file_that_cannot_be_read_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALICE_AI_KEY_FILE", "/nowhere/key")
    settings.AI_PROVIDERS = {"alice-ai": {"adapter": "openai", "key": "ALICE_AI_KEY"}}
    settings.AI_DEFAULT_ROUTE = ["alice-ai/m"]

    assert ids() == ["providers.E006"]


def test_a_key_that_is_there_is_no_mistake(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALICE_AI_KEY", "sk-alice")
    settings.AI_PROVIDERS = {"alice-ai": {"adapter": "openai", "key": "ALICE_AI_KEY"}}
    settings.AI_DEFAULT_ROUTE = ["alice-ai/m"]

    assert ids() == []


@pytest.mark.parametrize("candidate", ["simulator", "simulator/", "bobs-ai/m", ""])
def test_a_default_route_that_leads_nowhere_is_reported(settings: Settings, candidate: str) -> None:
    settings.AI_DEFAULT_ROUTE = [candidate]

    assert "providers.E007" in ids()
