"""Providers from the environment."""

import json

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import providers
from providers import registry

VENDORS = [
    ("openai", "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    ("anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    ("gemini", "GEMINI_API_KEY", "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"),
]


def test_without_anything_there_is_the_simulator() -> None:
    assert providers.from_environment() == {"simulator": {"adapter": "simulator"}}


@pytest.mark.parametrize(("name", "key", "address", "vendors_own"), VENDORS)
def test_a_key_sets_its_vendor_up(
    monkeypatch: pytest.MonkeyPatch, name: str, key: str, address: str, vendors_own: str
) -> None:
    monkeypatch.setenv(key, "sk-alice-secret")

    found = providers.from_environment()

    assert found[name] == {"adapter": name, "base_url": vendors_own, "key": key}
    assert "secret" not in repr(found)


@pytest.mark.parametrize(("name", "key", "address", "vendors_own"), VENDORS)
def test_an_address_sets_its_format_up_without_a_key(
    monkeypatch: pytest.MonkeyPatch, name: str, key: str, address: str, vendors_own: str
) -> None:
    monkeypatch.setenv(address, "http://localhost:9009")

    assert providers.from_environment()[name]["base_url"] == "http://localhost:9009"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", "http://localhost:11434/v1"),
        ("10.0.0.5:8080", "http://10.0.0.5:8080/v1"),
        ("https://ollama.example/", "https://ollama.example/v1"),
    ],
)
def test_ollama_s_host_is_enough(monkeypatch: pytest.MonkeyPatch, host: str, expected: str) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)

    assert providers.from_environment()["ollama"] == {"adapter": "openai", "base_url": expected}


@pytest.mark.parametrize("adapter", ["openai", "anthropic", "gemini"])
def test_any_adapter_can_be_named(monkeypatch: pytest.MonkeyPatch, adapter: str) -> None:
    named = {"eu": {"adapter": adapter, "base_url": "https://eu.example", "key": "EU_KEY"}}
    monkeypatch.setenv("AI_PROVIDERS", json.dumps(named))

    assert providers.from_environment()["eu"] == named["eu"]


@pytest.mark.parametrize(
    "value", ["[]", "{", '{"eu": 5}', '{"eu": {"adapter": "nobody"}}', '{"eu": {"adapter": "gemini"}}']
)
def test_a_wrong_value_is_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AI_PROVIDERS", value)

    with pytest.raises(ImproperlyConfigured):
        providers.from_environment()


def test_every_adapter_that_there_is_can_be_named() -> None:

    assert set(providers.ADAPTERS) == set(registry.ADAPTERS)
