"""The keys of our accounts: in the environment, read at each use, never stored, logged or shown."""

import os
import re
from pathlib import Path

from providers.errors import AuthenticationFailed
from providers.types import ProviderConfig, storable

KEY_LIKE = re.compile(
    r"\b(?:(?:g?sk|pk|rk|tsk|xai)[-_][\w*.\-]{6,}|AIza[\w*.\-]{8,}|AQ\.[\w*.\-]{8,}|bearer\s+\S{8,}|(?<=[?&]key=)[^\s&]+)",
    re.IGNORECASE,
)
MESSAGE_BOUND = 500


def read_key(config: ProviderConfig) -> str:
    """
    Return the provider's key from NAME, or from the file that NAME_FILE points to; empty when there is none.

    Raises AuthenticationFailed when the file cannot be read or when the key could not go into an HTTP header.
    """
    name = config.key_variable
    key = os.environ.get(name, "").strip() if name else ""
    path = os.environ.get(f"{name}_FILE", "").strip() if name else ""
    if path and not key:
        key = _from_file(name, path)
    if key and not (key.isascii() and key.isprintable()):
        raise AuthenticationFailed(f"The key in {name} has characters that no key has.")
    return key


def _from_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise AuthenticationFailed(f"The file that {name}_FILE names cannot be read.") from None


def scrubbed(text: str, key: str = "") -> str:
    """Return a foreign message fit for logs and pages: without the key or what looks like one, on a line, bounded."""
    text = text.replace(key, "[key]") if key else text
    return KEY_LIKE.sub("[key]", " ".join(storable(text).split()))[:MESSAGE_BOUND]
