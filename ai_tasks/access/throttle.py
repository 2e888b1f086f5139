"""How often somebody may call: one count for all processes, over a window that slides."""

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from django.core.cache import cache

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
REST_SECONDS = 5.0
"""How long a cache that did not answer is let alone: calls go on, uncounted."""
_rests_until = 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller has left."""

    limit: int
    """Calls a minute."""
    remaining: int
    reset_seconds: int
    """Until nothing of this minute counts any more, had there been no further call."""
    retry_after_seconds: int = 0
    """0: the call is granted."""


def count(caller: str, limit: int, now: datetime) -> Standing | None:
    """
    Count a call and return where its caller stands; None: the cache does not answer, and the call is granted.

    A sliding window from two fixed ones: what the last minute had counts by the part of it that is still within sixty
    seconds. A call that is refused does not count.
    """
    global _rests_until
    if time.monotonic() < _rests_until:
        return None
    minute, second = divmod(now.timestamp(), WINDOW_SECONDS)
    share = second / WINDOW_SECONDS
    try:
        return _counted(f"calls:{caller}", limit, int(minute), share)
    except Exception as error:  # whichever cache it is, and whatever ails it
        _rests_until = time.monotonic() + REST_SECONDS
        logger.warning("Calls are not counted for %s s: %r", REST_SECONDS, error)
        return None


def _counted(key: str, limit: int, minute: int, share: float) -> Standing:
    here, before = f"{key}:{minute}", cache.get(f"{key}:{minute - 1}", 0)
    calls = _add(here)
    used = before * (1 - share) + calls
    reset = ceil(WINDOW_SECONDS * (2 - share))
    if used > limit:
        cache.decr(here)
        return Standing(limit, 0, reset, _wait_seconds(before, calls - 1, limit, share))
    return Standing(limit, max(int(limit - used), 0), reset)


def _add(key: str) -> int:
    cache.add(key, 0, timeout=3 * WINDOW_SECONDS)
    return int(cache.incr(key))


def _wait_seconds(before: int, calls: int, limit: int, share: float) -> int:
    """Return when one more call fits: in this minute, while the last one fades, or in the next, while this does."""
    if calls < limit and before:
        return max(1, ceil(WINDOW_SECONDS * (1 - (limit - calls - 1) / before - share)))
    faded = max(0.0, 1 - (limit - 1) / calls) if calls else 0.0
    return max(1, ceil(WINDOW_SECONDS * (1 - share + faded)))
