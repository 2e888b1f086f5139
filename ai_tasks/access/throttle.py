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


def count(caller: str, limit: int, now: datetime, *, window_seconds: int = WINDOW_SECONDS) -> Standing | None:
    """
    Count a call and return where its caller stands; None: the cache does not answer, and the call is granted.

    A sliding window from two fixed ones: what the last one had counts by the part of it that is still within
    `window_seconds`. A call that is refused does not count.
    """
    return _asked(caller, limit, now, window_seconds, is_counted=True)


def look(caller: str, limit: int, now: datetime, *, window_seconds: int = WINDOW_SECONDS) -> Standing | None:
    """Return where a caller would stand after another call, without counting one."""
    return _asked(caller, limit, now, window_seconds, is_counted=False)


def _asked(caller: str, limit: int, now: datetime, window_seconds: int, *, is_counted: bool) -> Standing | None:
    global _rests_until
    if time.monotonic() < _rests_until:
        return None
    window = _Window(f"calls:{caller}", window_seconds, *divmod(now.timestamp(), window_seconds))
    try:
        return window.standing(limit, is_counted=is_counted)
    except Exception as error:  # whichever cache it is, and whatever ails it
        _rests_until = time.monotonic() + REST_SECONDS
        logger.warning("Calls are not counted for %s s: %r", REST_SECONDS, error)
        return None


@dataclass(frozen=True, slots=True)
class _Window:
    key: str
    seconds: int
    number: float
    elapsed: float
    """Seconds of it that are over."""

    def standing(self, limit: int, *, is_counted: bool) -> Standing:
        here, before = f"{self.key}:{self.number:.0f}", cache.get(f"{self.key}:{self.number - 1:.0f}", 0)
        calls = self._add(here) if is_counted else cache.get(here, 0) + 1
        used = before * (1 - self.elapsed / self.seconds) + calls
        reset = ceil(2 * self.seconds - self.elapsed)
        if used <= limit:
            return Standing(limit, int(limit - used), reset)
        if is_counted:
            cache.decr(here)
        return Standing(limit, 0, reset, self._wait_seconds(before, calls - 1, limit))

    def _add(self, key: str) -> int:
        cache.add(key, 0, timeout=3 * self.seconds)
        return int(cache.incr(key))

    def _wait_seconds(self, before: int, calls: int, limit: int) -> int:
        """Return when one more fits: in this window, while the last one fades, or in the next, while this does."""
        if calls < limit and before:
            return max(1, ceil(self.seconds * (1 - (limit - calls - 1) / before) - self.elapsed))
        faded = max(0.0, 1 - (limit - 1) / calls) if calls else 0.0
        return max(1, ceil(self.seconds * (1 + faded) - self.elapsed))
