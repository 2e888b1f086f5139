"""
What a vendor says when it cannot, in our words.

From https://platform.openai.com/docs/guides/error-codes, https://docs.claude.com/en/api/errors and
https://ai.google.dev/gemini-api/docs/troubleshooting, and what OpenRouter, vLLM, llama.cpp, Azure and DeepSeek add.
The tables are shared: what one vendor says means the same when another says it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from providers.adapters import retry_after
from providers.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextWindowExceeded,
    ModelNotFound,
    Overloaded,
    PermissionRefused,
    ProviderError,
    ProviderTimeout,
    QuotaExhausted,
    RateLimited,
    Unavailable,
)
from providers.keys import scrubbed

BY_CODE: dict[str, type[ProviderError]] = {
    "context_length_exceeded": ContextWindowExceeded,
    "exceed_context_size_error": ContextWindowExceeded,
    "content_filter": ContentRefused,
    "content_policy_violation": ContentRefused,
    "invalid_prompt": ContentRefused,
    "bio_policy": ContentRefused,
    "misalignment_policy_violation": ContentRefused,
    "image_content_policy_violation": ContentRefused,
    "insufficient_quota": QuotaExhausted,
    "billing_hard_limit_reached": QuotaExhausted,
    "billing_not_active": QuotaExhausted,
    "billing_error": QuotaExhausted,
    "invalid_api_key": AuthenticationFailed,
    "api_key_invalid": AuthenticationFailed,
    "model_not_found": ModelNotFound,
}
"""Codes, types and reasons that say more than the status beside them."""
BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: PermissionRefused,
    404: ModelNotFound,
    408: ProviderTimeout,
    429: RateLimited,
    503: Overloaded,
    504: ProviderTimeout,
    529: Overloaded,
}
BY_VAGUE_CODE: dict[str, type[ProviderError]] = {
    "authentication_error": AuthenticationFailed,
    "unauthenticated": AuthenticationFailed,
    "permission_error": PermissionRefused,
    "permission_denied": PermissionRefused,
    "not_found_error": ModelNotFound,
    "not_found": ModelNotFound,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "resource_exhausted": RateLimited,
    "overloaded_error": Overloaded,
    "server_overloaded": Overloaded,
    "unavailable": Overloaded,
    "timeout": ProviderTimeout,
    "timeout_error": ProviderTimeout,
    "deadline_exceeded": ProviderTimeout,
    "invalid_request_error": BadRequest,
    "invalid_argument": BadRequest,
    "failed_precondition": BadRequest,
    "request_too_large": BadRequest,
}
"""Codes and types that count only where there is no status: inside a stream."""
TOO_LONG = re.compile(
    r"maximum context length|context window|context size|context length|context limit|prompt is too long"
    r"|too many tokens in|input token count .{0,40}exceeds",
    re.IGNORECASE,
)
REFUSED = re.compile(r"content filtering policy|content management policy", re.IGNORECASE)
NO_MONEY = re.compile(r"credit balance is too low|insufficient (?:credits|balance)", re.IGNORECASE)


def from_response(status: int, body: bytes, headers: Mapping[str, str], *, key: str, now: datetime) -> ProviderError:
    """Return the error that a response with this status and body stands for."""
    text = body.decode("utf-8", "replace")
    details = _details(_parsed(text))
    message = details.get("message") or ("" if text.lstrip().startswith(("<", "{", "[")) else text)
    error = _kind(status, details, str(message))(scrubbed(str(message), key))
    return _with_wait(error, details, headers, now)


def from_stream(payload: Any, *, key: str) -> ProviderError:
    """Return the error that an `error` object inside an answer stands for; its code may be a status (OpenRouter)."""
    details = _details(payload)
    code = details.get("code")
    status = int(code) if isinstance(code, int | str) and re.fullmatch(r"[345]\d\d", str(code)) else 0
    message = str(details.get("message") or "")
    return _kind(status, details, message)(scrubbed(message, key))


def _with_wait(
    error: ProviderError, details: Mapping[str, Any], headers: Mapping[str, str], now: datetime
) -> ProviderError:
    """Add how long to wait and, to a RateLimited, which limit it is."""
    extra = details.get("details")
    extra = extra if isinstance(extra, list) else []
    if isinstance(error, RateLimited):
        error.scope = retry_after.scope(headers, extra, str(error), now)
        error.retry_after_seconds = retry_after.of_refusal(headers, extra, now)
    else:
        error.retry_after_seconds = retry_after.from_headers(headers, now)
    return error


def _kind(status: int, details: Mapping[str, Any], message: str) -> type[ProviderError]:
    words = list(_words(details))
    if found := next((BY_CODE[word] for word in words if word in BY_CODE), None):
        return found
    if status in (0, 400, 413, 422) and TOO_LONG.search(message):
        return ContextWindowExceeded
    if status in (0, 400, 403) and REFUSED.search(message):
        return ContentRefused
    if status in (0, 400, 403) and NO_MONEY.search(message):
        return QuotaExhausted
    if status == 0:
        return next((BY_VAGUE_CODE[word] for word in words if word in BY_VAGUE_CODE), Unavailable)
    return BY_STATUS.get(status, BadRequest if 400 <= status < 500 else Unavailable)


def _words(details: Mapping[str, Any]) -> Iterator[str]:
    for name in ("code", "type", "status"):
        if isinstance(value := details.get(name), str):
            yield value.lower()
    extra = details.get("details")
    for detail in extra if isinstance(extra, list) else []:
        if isinstance(detail, dict) and isinstance(reason := detail.get("reason"), str):
            yield reason.lower()


def _parsed(text: str) -> Any:
    """Return the JSON of a body, or of its first event: LiteLLM answers a stream that it cannot begin with one."""
    if text.startswith("data:"):
        text = text.removeprefix("data:").partition("\n")[0]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _details(payload: Any) -> Mapping[str, Any]:
    """Find the error's own object: under `error`, which may be a text, or at the top; Gemini wraps it in a list."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("error", payload)
    return inner if isinstance(inner, dict) else {"message": inner if isinstance(inner, str) else ""}
