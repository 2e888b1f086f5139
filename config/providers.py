"""Which AI services the environment sets up."""

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import env

logger = logging.getLogger(__name__)

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


class Watched(Mapping[str, dict[str, Any]]):
    """
    Provider settings that follow the file AI_PROVIDERS_FILE: what is written there is in force within seconds.

    A version that is gone or wrong changes nothing but the log.
    """

    def __init__(self, path: Path, look_every_seconds: float = 1.0) -> None:
        """Read it; raises ImproperlyConfigured where its first version is wrong."""
        self._path = path
        self._look_every_seconds = look_every_seconds
        self._seen = self._stamp()
        self._found = from_environment()
        self._look_at = time.monotonic() + self._look_every_seconds

    def _stamp(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()
        except OSError:
            return ()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _current(self) -> Settings:
        if time.monotonic() < self._look_at:
            return self._found
        self._look_at = time.monotonic() + self._look_every_seconds
        stamp = self._stamp()
        if stamp and stamp != self._seen:
            self._seen = stamp
            try:
                self._found = from_environment()
            except ImproperlyConfigured as error:
                logger.error("%s is not in force: %s", self._path, error)
        return self._found

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self._current()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())


def settings() -> Mapping[str, dict[str, Any]]:
    """Return provider settings by name: fixed ones, or, where AI_PROVIDERS_FILE names a file, ones that follow it."""
    path = os.environ.get("AI_PROVIDERS_FILE", "").strip()
    follows = path and not os.environ.get("AI_PROVIDERS", "").strip()
    return Watched(Path(path)) if follows else from_environment()


def from_environment() -> Settings:
    """
    Return provider settings by name as they are now: the simulator, the short variables' and AI_PROVIDERS'.

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
    for name, values in found.items():
        _check(name, values)
    return found


def _named() -> Settings:
    try:
        named = json.loads(env.text("AI_PROVIDERS", "{}"))
    except ValueError as error:
        raise ImproperlyConfigured(f"AI_PROVIDERS is not JSON: {error}.") from error
    if not isinstance(named, dict) or not all(isinstance(value, dict) for value in named.values()):
        raise ImproperlyConfigured('AI_PROVIDERS must be a JSON object such as {"name": {"adapter": "openai"}}.')
    return named


def _check(name: str, values: dict[str, Any]) -> None:
    if not SLUG.fullmatch(name):
        raise ImproperlyConfigured(f"AI_PROVIDERS: {name!r} must be lower-case letters, digits and dashes, 40 at most.")
    if unknown := set(values) - FIELDS:
        raise ImproperlyConfigured(f"AI_PROVIDERS: {name!r} has unknown settings: {', '.join(sorted(unknown))}.")
    if values.get("adapter") not in ADAPTERS:
        raise ImproperlyConfigured(f"AI_PROVIDERS: the adapter of {name!r} must be one of {', '.join(ADAPTERS)}.")
    base_url = str(values.get("base_url", ""))
    if values["adapter"] != "simulator" and not base_url.startswith(("http://", "https://")):
        raise ImproperlyConfigured(f"The base URL of provider {name!r} must start with http:// or https://.")
