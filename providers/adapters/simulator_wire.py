"""The simulator's side of the chat completions format."""

import json
from collections.abc import Mapping
from math import ceil
from typing import Any

from providers.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextWindowExceeded,
    Overloaded,
    ProviderError,
    RateLimited,
    Unavailable,
)
from providers.types import CompletionRequest, FinishReason, Message, Usage

DEFAULT_MAX_OUTPUT_TOKENS = 4096
ERRORS: dict[type[ProviderError], tuple[int, str, str | None]] = {
    RateLimited: (429, "requests", "rate_limit_exceeded"),
    Overloaded: (503, "server_error", "server_overloaded"),
    Unavailable: (500, "server_error", None),
    AuthenticationFailed: (401, "invalid_request_error", "invalid_api_key"),
    ContentRefused: (400, "invalid_request_error", "content_filter"),
    ContextWindowExceeded: (400, "invalid_request_error", "context_length_exceeded"),
    BadRequest: (400, "invalid_request_error", None),
}
"""Status, type and code of each failure."""


def request_from(body: Any, request_id: str) -> CompletionRequest:
    """Return the request that a body stands for; raises BadRequest with what is wrong."""
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("You must provide a model parameter.")
    if not isinstance(body.get("stream") or False, bool):
        raise BadRequest("stream must be true or false.")
    return CompletionRequest(
        model=model,
        messages=_messages(body.get("messages")),
        max_output_tokens=_max_output_tokens(body),
        stream=bool(body.get("stream")),
        request_id=request_id,
        options={"simulate": body.get("simulate")},
    )


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Return whether a stream should end with its usage."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _messages(given: Any) -> tuple[Message, ...]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages must be a list with at least one message.")
    return tuple(_message(turn) for turn in given)


def _message(turn: Any) -> Message:
    if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
        raise BadRequest("A message must be an object with a role.")
    content = turn.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        content = "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    if not isinstance(content, str):
        raise BadRequest("A message's content must be a text or a list of parts.")
    return Message(turn["role"], content)


def _max_output_tokens(body: Mapping[str, Any]) -> int:
    given = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_MAX_OUTPUT_TOKENS
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise BadRequest("max_tokens must be a whole number of at least 1.")
    return given


def usage_json(usage: Usage) -> dict[str, Any]:
    """Return usage as the format has it: cached within the prompt, reasoning within the completion."""
    return {
        "prompt_tokens": usage.total_input,
        "completion_tokens": usage.total_output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def completion_json(head: Mapping[str, Any], text: str, reason: FinishReason, usage: Usage) -> dict[str, Any]:
    """Return a whole answer."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason.value}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage_json(usage)}


def chunk(head: Mapping[str, Any], delta: Mapping[str, Any], reason: FinishReason | None = None) -> dict[str, Any]:
    """Return one piece of a stream."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason.value if reason else None}
    return {**head, "object": "chat.completion.chunk", "choices": [choice]}


def usage_chunk(head: Mapping[str, Any], usage: Usage) -> dict[str, Any]:
    """Return the piece of a stream that tells its usage."""
    return {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage_json(usage)}


def event(payload: Mapping[str, Any]) -> bytes:
    """Return a server-sent event."""
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def error_json(error: ProviderError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return a failure's status, body and headers."""
    status, kind, code = ERRORS.get(type(error), (500, "server_error", None))
    headers = {}
    if (seconds := error.retry_after_seconds) is not None:
        headers = {"Retry-After": str(ceil(seconds)), "retry-after-ms": str(round(seconds * 1000))}
    return status, {"error": {"message": str(error), "type": kind, "param": None, "code": code}}, headers
