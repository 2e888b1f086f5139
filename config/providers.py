"""Which AI services the environment sets up."""

import json
import re
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import env

Settings = dict[str, dict[str, Any]]

ADAPTERS = ("simulator", "openai", "anthropic", "gemini")
SHORTHANDS = {
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "gemini": ("GEMINI_API_KEY", "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"),
}
"""Of an adapter: the variable of its key, of its address, and the vendor's own."""
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
FIELDS = {"adapter", "base_url", "key", "options"}


def from_environment() -> Settings:
    """
    Return provider settings by name: the simulator, the short variables' and AI_PROVIDERS'.

    AI_PROVIDERS is a JSON object: `{"eu": {"adapter": "openai", "base_url": "https://...", "key": "OPENAI_EU_KEY"}}`,
    where `key` names the environment variable (or, with _FILE behind it, the file) that holds the key.
    Raises ImproperlyConfigured with what to mend.
    """
    found: Settings = {"simulator": {"adapter": "simulator"}}
    for adapter, (key, address, vendors_own) in SHORTHANDS.items():
        if env.text(key) or env.text(address):
            found[adapter] = {"adapter": adapter, "base_url": env.text(address, vendors_own), "key": key}
    if host := env.text("OLLAMA_HOST"):
        host = host if "://" in host else f"http://{host if ':' in host else f'{host}:11434'}"
        found["ollama"] = {"adapter": "openai", "base_url": f"{host.rstrip('/')}/v1"}
    found |= _named()
    for name, settings in found.items():
        _check(name, settings)
    return found


def _named() -> Settings:
    try:
        named = json.loads(env.text("AI_PROVIDERS", "{}"))
    except ValueError as error:
        raise ImproperlyConfigured(f"AI_PROVIDERS is not JSON: {error}.") from error
    if not isinstance(named, dict) or not all(isinstance(value, dict) for value in named.values()):
        raise ImproperlyConfigured('AI_PROVIDERS must be a JSON object such as {"name": {"adapter": "openai"}}.')
    return named


def _check(name: str, settings: dict[str, Any]) -> None:
    if not SLUG.fullmatch(name):
        raise ImproperlyConfigured(f"AI_PROVIDERS: {name!r} must be lower-case letters, digits and dashes, 40 at most.")
    if unknown := set(settings) - FIELDS:
        raise ImproperlyConfigured(f"AI_PROVIDERS: {name!r} has unknown settings: {', '.join(sorted(unknown))}.")
    if settings.get("adapter") not in ADAPTERS:
        raise ImproperlyConfigured(f"AI_PROVIDERS: the adapter of {name!r} must be one of {', '.join(ADAPTERS)}.")
    base_url = str(settings.get("base_url", ""))
    if settings["adapter"] != "simulator" and not base_url.startswith(("http://", "https://")):
        raise ImproperlyConfigured(f"The base URL of provider {name!r} must start with http:// or https://.")
