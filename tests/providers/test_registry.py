"""Providers of this process."""

import pytest
from pytest_django import Settings

from providers import registry, routing
from providers.errors import ModelNotFound


def test_the_registry_follows_the_settings(settings: Settings) -> None:
    settings.AI_PROVIDERS = {"alice-ai": {"adapter": "simulator"}}
    assert routing.slugs() == ["alice-ai"]

    settings.AI_PROVIDERS = {"bobs-ai": {"adapter": "simulator"}, "alice-ai": {"adapter": "simulator"}}

    assert routing.slugs() == ["bobs-ai", "alice-ai"]


def test_the_registry_notices_a_change_in_place(settings: Settings) -> None:
    settings.AI_PROVIDERS = {"alice-ai": {"adapter": "openai", "base_url": "http://a/v1", "options": {}}}
    first = registry.adapter("alice-ai")

    settings.AI_PROVIDERS["alice-ai"]["options"]["idle_seconds"] = 5

    assert registry.adapter("alice-ai").patience.idle_seconds == 5
    assert first.patience.idle_seconds == 60


def test_adapters_are_made_once(settings: Settings) -> None:
    settings.AI_PROVIDERS = {"alice-ai": {"adapter": "simulator"}}

    assert registry.adapter("alice-ai") is registry.adapter("alice-ai")


def test_a_config_holds_the_name_of_its_key_and_not_the_key(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALICE_AI_KEY", "sk-alice-secret")
    settings.AI_PROVIDERS = {"alice-ai": {"adapter": "openai", "base_url": "http://a/v1", "key": "ALICE_AI_KEY"}}

    assert "sk-alice-secret" not in repr(registry.configs()) + repr(vars(registry.adapter("alice-ai")))


def test_an_unknown_provider_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        registry.adapter("nobody")
