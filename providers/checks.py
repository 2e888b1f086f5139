"""What `manage.py check` says about AI_PROVIDERS and AI_DEFAULT_ROUTE."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from providers import registry
from providers.errors import AuthenticationFailed
from providers.keys import read_key


def check_providers(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with the providers that the settings name, and what looks wrong."""
    found: list[CheckMessage] = []
    for slug, values in settings.AI_PROVIDERS.items():
        found += _adapter(slug, values)
    return found + list(_default_route())


def _adapter(slug: str, values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    adapter = registry.ADAPTERS.get(values.get("adapter", ""))
    if adapter is None:
        known = ", ".join(registry.ADAPTERS)
        yield Error(f"Provider {slug!r} has no adapter of that name.", hint=f"Known: {known}.", id="providers.E001")
        return
    options = values.get("options", {})
    if not isinstance(options, dict):
        yield Error(f"The options of provider {slug!r} must be an object.", id="providers.E002")
        return
    yield from _options(slug, options, adapter.OPTIONS)
    yield from _key(slug, values)


def _options(slug: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name, value in options.items():
        if name not in known:
            hint = f"Known: {', '.join(known)}."
            yield Error(f"Provider {slug!r} has an unknown option {name!r}.", hint=hint, id="providers.E003")
        elif not isinstance(value, known[name]) or isinstance(value, bool) != (known[name] is bool):
            yield Error(f"Option {name!r} of provider {slug!r} is of the wrong type.", id="providers.E004")
        elif name.endswith("_seconds") and not 0 < value < 86_400:
            yield Error(f"Option {name!r} of provider {slug!r} must be within a day.", id="providers.E005")


def _key(slug: str, values: Mapping[str, Any]) -> Iterator[CheckMessage]:
    variable = values.get("key", "")
    if not variable:
        return
    try:
        key = read_key(registry.config_of(slug, values))
    except AuthenticationFailed as error:
        yield Error(f"Provider {slug!r}: {error}", id="providers.E006")
        return
    if not key:
        hint = f"Set {variable} or {variable}_FILE, or leave it so for a server that asks for none."
        yield Warning(f"Provider {slug!r} is called without a key.", hint=hint, id="providers.W001")


def _default_route() -> Iterator[CheckMessage]:
    for candidate in settings.AI_DEFAULT_ROUTE:
        provider, _, model = candidate.partition("/")
        if not model or provider not in settings.AI_PROVIDERS:
            hint = "Each must be provider/model, with a provider that is configured."
            yield Error(f"AI_DEFAULT_ROUTE names {candidate!r}.", hint=hint, id="providers.E007")
