"""The script of a simulated call: what a caller may ask the simulator to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from providers.errors import (
    AuthenticationFailed,
    BadRequest,
    ConnectTimeout,
    ContentRefused,
    ContextWindowExceeded,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    PermissionRefused,
    ProviderError,
    ProviderTimeout,
    QuotaExhausted,
    RateLimited,
    StreamCut,
    Unavailable,
)

FAILURES: dict[str, type[ProviderError]] = {
    "rate_limited": RateLimited,
    "overloaded": Overloaded,
    "unavailable": Unavailable,
    "authentication_failed": AuthenticationFailed,
    "bad_json": MalformedAnswer,
    "refusal": ContentRefused,
    "cut": StreamCut,
    "context_window_exceeded": ContextWindowExceeded,
    "bad_request": BadRequest,
    "permission_refused": PermissionRefused,
    "model_not_found": ModelNotFound,
    "quota_exhausted": QuotaExhausted,
    "timeout": ProviderTimeout,
    "connect_timeout": ConnectTimeout,
}
STALL, EMPTY = "stall", "empty"
FAILS = (*FAILURES, STALL, EMPTY)
LARGEST = 1_000_000
NUMBER = (int, float)
TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "seed": ((int,), "a whole number"),
    "text": ((str,), "a text"),
    "output_tokens": ((int,), "a whole number"),
    "latency_ms": (NUMBER, "a number"),
    "tokens_per_second": (NUMBER, "a number"),
    "fail": ((str,), "a text"),
    "fail_times": ((int,), "a whole number"),
    "fail_after_tokens": ((int,), "a whole number"),
    "retry_after_seconds": (NUMBER, "a number"),
    "reasoning": ((str,), "a text"),
    "tool_calls": ((list,), "a list"),
    "cached_tokens": ((int,), "a whole number"),
    "usage": ((bool,), "true or false"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a simulated call does; the defaults make an answer that can be watched and is done within half a second."""

    seed: int | None = None
    """Chooses among the ready-made answers; None: from the prompt."""
    text: str | None = None
    """The exact answer."""
    output_tokens: int | None = None
    """Length of a made-up answer."""
    latency_ms: float = 40
    """Until the first token."""
    tokens_per_second: float = 200
    """0: as fast as possible."""
    fail: str = ""
    """One of FAILS."""
    fail_times: int | None = None
    """Only the first so many attempts fail; None: all."""
    fail_after_tokens: int = 0
    """So many tokens come before the failure."""
    retry_after_seconds: float = 1
    """What a rate limited or overloaded answer asks for."""
    reasoning: str = ""
    """Said before the answer, apart from it."""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    """What it wants called, as objects of `name` and `arguments`."""
    cached_tokens: int = 0
    """So much of the input is read from a cache."""
    usage: bool = True
    """Does it say what was used?"""

    def failure(self, request_id: str) -> str:
        """Return how the attempt behind that request id (`<task id>.<attempt>`) fails; empty: it does not."""
        number = request_id.rpartition(".")[2]
        attempt = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 1
        return self.fail if self.fail_times is None or attempt <= self.fail_times else ""


def parse(value: object) -> Script:
    """Return the script that a caller gave as a dict (None: the default one); raises BadRequest with what to mend."""
    if value is None:
        return Script()
    if not isinstance(value, dict):
        raise BadRequest("simulate must be an object.")
    known = [field.name for field in fields(Script)]
    if unknown := sorted(str(key)[:40] for key in value if key not in known):
        raise BadRequest(f"simulate does not know {', '.join(unknown[:5])}; it knows {', '.join(known)}.")
    for key, given in value.items():
        _check(key, given)
    return Script(**value)


def _check(key: str, given: Any) -> None:
    types, words = TYPES[key]
    is_right = isinstance(given, types) and isinstance(given, bool) == (bool in types)
    if not is_right:
        raise BadRequest(f"simulate.{key} must be {words}.")
    if key == "fail" and given and given not in FAILS:
        raise BadRequest(f"simulate.fail must be one of {', '.join(FAILS)}.")
    if key == "tool_calls":
        _check_calls(given)
    size = len(given) if isinstance(given, str | list) else given
    if key != "seed" and not 0 <= size <= LARGEST:
        raise BadRequest(f"simulate.{key} must be between 0 and {LARGEST:,}{' long' if key == 'text' else ''}.")


def _check_calls(given: Sequence[Any]) -> None:
    for call in given:
        is_call = isinstance(call, dict) and isinstance(call.get("name"), str) and call["name"]
        if not is_call or not isinstance(call.get("arguments", {}), dict):
            raise BadRequest("simulate.tool_calls must be objects with a name and, as an object, arguments.")
