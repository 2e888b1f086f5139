"""Which providers this process knows, from settings.AI_PROVIDERS."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from django.conf import settings

from providers.adapters.anthropic import AnthropicAdapter
from providers.adapters.base import Adapter
from providers.adapters.gemini import GeminiAdapter
from providers.adapters.openai import OpenAIAdapter
from providers.adapters.simulator import SimulatorAdapter
from providers.errors import ModelNotFound
from providers.types import ProviderConfig

ADAPTERS: dict[str, type[Adapter]] = {
    "simulator": SimulatorAdapter,
    "openai": OpenAIAdapter,
    "anthropic": AnthropicAdapter,
    "gemini": GeminiAdapter,
}


class _Built(NamedTuple):
    source: Mapping[str, Any]
    adapters: dict[str, Adapter]


_built = _Built({}, {})


def config_of(slug: str, values: Mapping[str, Any]) -> ProviderConfig:
    """Return one entry of AI_PROVIDERS as a config."""
    return ProviderConfig(
        slug=slug,
        adapter=values["adapter"],
        base_url=values.get("base_url", ""),
        key_variable=values.get("key", ""),
        options=values.get("options", {}),
    )


def adapters() -> dict[str, Adapter]:
    """Return the adapter of every configured provider by name; made anew when the setting has changed."""
    global _built
    source = dict(settings.AI_PROVIDERS)
    if _built.source != source:
        configs = [config_of(slug, values) for slug, values in source.items()]
        _built = _Built(deepcopy(source), {config.slug: ADAPTERS[config.adapter](config) for config in configs})
    return _built.adapters


def configs() -> dict[str, ProviderConfig]:
    """Return the config of every configured provider by name."""
    return {slug: adapter.config for slug, adapter in adapters().items()}


def adapter(slug: str) -> Adapter:
    """Return the provider's adapter; raises ModelNotFound where it is not configured, so that the next is asked."""
    if found := adapters().get(slug):
        return found
    raise ModelNotFound(f"No provider {slug!r} is configured here.")
