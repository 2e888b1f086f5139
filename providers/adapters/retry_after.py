"""
How long a provider asks to be left alone, and which of its limits is reached.

It is said in many places: `Retry-After` in seconds or as an HTTP date (RFC 9110, section 10.2.3), `retry-after-ms`
(OpenAI, Azure), `x-ratelimit-reset-*` as a duration (OpenAI, Groq), `anthropic-ratelimit-*-reset` as a moment, and a
RetryInfo in the body (Google, https://cloud.google.com/apis/design/errors).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

LONGEST_SECONDS = 3600.0
SCOPES = ("requests", "tokens", "input-tokens", "output-tokens")
PREFIXES = ("x-ratelimit", "anthropic-ratelimit")
DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|h|m|s)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Headers = Mapping[str, str]


def from_headers(headers: Headers, now: datetime) -> float | None:
    """Return the seconds that the headers ask for, at most an hour; None: they do not say, or not sensibly."""
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return _bounded(milliseconds / 1000)
    said = headers.get("Retry-After", "").strip()
    if (seconds := _number(said)) is not None:
        return _bounded(seconds)
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    return _until(moment, now)


def of_refusal(headers: Headers, details: list[Any], now: datetime) -> float | None:
    """Return the seconds to wait after a 429: as headers or body ask, else until the used-up limit resets."""
    if (asked := from_headers(headers, now)) is not None:
        return asked
    if (delay := _retry_info(details)) is not None:
        return delay
    resets = [reset for _, reset in _used_up(headers, now) if reset is not None]
    return max(resets, default=None)


def scope(headers: Headers, details: list[Any], message: str, now: datetime) -> str:
    """Return which limit is reached: requests, tokens, or day for a daily one; empty: it does not say."""
    quotas = " ".join(_quotas(details)) or message
    if re.search(r"per ?day|\bdaily\b|\bRPD\b|\bTPD\b", quotas, re.IGNORECASE):
        return "day"
    found = {"tokens" if "token" in name else "requests" for name, _ in _used_up(headers, now)}
    if len(found) != 1:
        found = {word for word in ("tokens", "requests") if re.search(rf"{word[:-1]}s?", quotas, re.IGNORECASE)}
    return found.pop() if len(found) == 1 else ""


def _used_up(headers: Headers, now: datetime) -> Iterator[tuple[str, float | None]]:
    """Yield (limit, seconds until it resets) of each limit of which nothing remains."""
    for prefix in PREFIXES:
        for name in SCOPES:
            words = (f"{prefix}-remaining-{name}", f"{prefix}-{name}-remaining")
            if any(_number(headers.get(word, "")) == 0 for word in words):
                reset = headers.get(f"{prefix}-reset-{name}") or headers.get(f"{prefix}-{name}-reset") or ""
                yield name, _reset(reset.strip(), now)


def _reset(said: str, now: datetime) -> float | None:
    """Return the seconds that `6m0s`, `20ms`, `1.5` or `2026-11-23T06:00:00Z` mean."""
    if (seconds := _number(said)) is not None:
        return _bounded(seconds)
    if said and not DURATION.sub("", said):
        return _bounded(sum(float(size) * UNITS[unit] for size, unit in DURATION.findall(said)))
    try:
        return _until(datetime.fromisoformat(said), now)
    except ValueError:
        return None


def _retry_info(details: list[Any]) -> float | None:
    for detail in details:
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):
            return _reset(delay, datetime.min.replace(tzinfo=UTC))
    return None


def _quotas(details: list[Any]) -> Iterator[str]:
    """Yield the names of the quotas that Google says are violated, as words."""
    for detail in details:
        violations = detail.get("violations") if isinstance(detail, dict) else None
        for violation in violations if isinstance(violations, list) else []:
            if isinstance(violation, dict):
                yield re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(violation.get("quotaId", ""))[:200])


def _until(moment: datetime, now: datetime) -> float:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _bounded((moment - now).total_seconds())


def _number(said: str) -> float | None:
    try:
        number = float(said)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_SECONDS)
