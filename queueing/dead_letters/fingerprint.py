"""What makes two mishaps the same one: the error class, and the message without what varies."""

import re
from hashlib import sha256

MOST_READ = 4_000
"""Characters of a message that are kept and looked at."""
MOST_COMPARED = 300
"""Characters of its shape that count: long messages end in details."""

VARYING = re.compile(
    r"""
      [A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s"'<>]+                   # addresses
    | "[^"]*" | `[^`]*` | “[^”]*” | ‘[^’]*’ | «[^»]*» | 「[^」]*」 | 『[^』]*』  # quoted values
    | (?<![A-Za-z0-9])'[^'\n]*'(?![A-Za-z0-9])                    # the same, but no apostrophe
    | (?<![A-Za-z0-9_-])[A-Fa-f0-9]{8,}(?![A-Za-z0-9_-])          # hex without a digit, too
    # Numbers, times, ids, versions: words of letters and digits that hold a digit, with their inner punctuation.
    | (?<![A-Za-z0-9_-])[A-Za-z_-]*\d[\dA-Za-z_-]*(?:[.:,/+][A-Za-z_-]*\d[\dA-Za-z_-]*)*
    """,
    re.VERBOSE,
)


def shape(message: str) -> str:
    """Return the message with `#` for each address, quoted value, number, time and id, on one line, bounded."""
    return " ".join(VARYING.sub("#", message[:MOST_READ]).split())[:MOST_COMPARED]


def fingerprint(error_class: str, message: str) -> str:
    """Return 40 hex digits that equal mishaps have in common."""
    return sha256(f"{error_class}\n{shape(message)}".encode("utf-8", "replace")).hexdigest()[:40]
