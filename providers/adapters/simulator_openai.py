"""The simulator's side of chat completions."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from providers.adapters import reading
from providers.adapters import simulator_wire as wire
from providers.adapters.simulator_wire import Refusal, Wire
from providers.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextWindowExceeded,
    ModelNotFound,
    Overloaded,
    PermissionRefused,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    Unavailable,
)
from providers.tool_calls import fragment
from providers.types import (
    AnswerFormat,
    CompletionRequest,
    Delta,
    DeltaKind,
    Finish,
    FinishReason,
    Message,
    Part,
    Tool,
    ToolCall,
    Usage,
)

ERRORS: dict[type[ProviderError], tuple[int, str, str | None]] = {
    RateLimited: (429, "requests", "rate_limit_exceeded"),
    Overloaded: (503, "server_error", "server_overloaded"),
    Unavailable: (500, "server_error", None),
    AuthenticationFailed: (401, "invalid_request_error", "invalid_api_key"),
    PermissionRefused: (403, "permission_error", None),
    ModelNotFound: (404, "invalid_request_error", "model_not_found"),
    QuotaExhausted: (429, "insufficient_quota", "insufficient_quota"),
    ContentRefused: (400, "invalid_request_error", "content_filter"),
    ContextWindowExceeded: (400, "invalid_request_error", "context_length_exceeded"),
    BadRequest: (400, "invalid_request_error", None),
}
"""Status, type and code of each failure."""


class ChatWire(Wire):
    """Chat completions."""

    BROKEN = b'{"id": "chatcmpl-'

    @classmethod
    def request_from(cls, body: Mapping[str, Any], model: str, request_id: str) -> CompletionRequest:
        """Return the request that a body stands for."""
        if not isinstance(body.get("model"), str) or not body["model"]:
            raise BadRequest("You must provide a model parameter.")
        if not (turns := wire.dicts(body, "messages")):
            raise BadRequest("messages must be a list with at least one message.")
        asked = body.get("max_completion_tokens") or body.get("max_tokens") or wire.DEFAULT_MAX_OUTPUT_TOKENS
        form = reading.member(reading.member(body, "response_format"), "json_schema")
        return CompletionRequest(
            model=body["model"],
            messages=tuple(_message(turn) for turn in turns),
            max_output_tokens=wire.cap(asked, "max_tokens"),
            tools=tuple(tool_from(reading.member(tool, "function")) for tool in wire.dicts(body, "tools")),
            answer_format=format_from(form),
            stream=wire.flag(body, "stream"),
            request_id=request_id,
            options={"simulate": body.get("simulate")},
        )

    @classmethod
    def refusal(cls, error: ProviderError) -> Refusal:
        """Return a failure's status, body and headers."""
        status, kind, code = ERRORS.get(type(error), (500, "server_error", None))
        body = {"error": {"message": str(error), "type": kind, "param": None, "code": code}}
        return status, body, wire.retry_headers(error)

    def opening(self, input_usage: Usage) -> bytes:
        """Return the chunk that names the role."""
        return self._event({"role": "assistant", "content": ""})

    def piece(self, delta: Delta) -> bytes:
        """Return a chunk."""
        if delta.kind == DeltaKind.TOOL_CALL:
            return self._event({"tool_calls": [_call_fragment(delta)]})
        return self._event({"reasoning_content" if delta.kind == DeltaKind.REASONING else "content": delta.data})

    def ending(self, finish: Finish, usage: Usage | None) -> bytes:
        """Return the chunk with the reason, the one with usage where it was asked for, and the last word."""
        told = b""
        options = self.body.get("stream_options")
        if usage and isinstance(options, dict) and options.get("include_usage") is True:
            told = wire.event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage_json(usage)})
        return self._event({}, finish.reason) + told + b"data: [DONE]\n\n"

    def whole(self, deltas: Sequence[Delta], finish: Finish, usage: Usage | None) -> dict[str, Any]:
        """Return a chat completion."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": wire.text_of(deltas, DeltaKind.TEXT) or None,
            "refusal": None,
        }
        if reasoning := wire.text_of(deltas, DeltaKind.REASONING):
            message["reasoning_content"] = reasoning
        if calls := wire.calls_of(deltas):
            message["tool_calls"] = [_call_json(call) for call in calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish.reason.value}
        told = {"usage": usage_json(usage)} if usage else {}
        return {**self._head("chat.completion"), "choices": [choice], **told}

    def _head(self, kind: str) -> dict[str, Any]:
        head = {"id": f"chatcmpl-{self.call_id}", "object": kind, "created": int(time.time())}
        return {**head, "model": self.request.model}

    def _event(self, delta: Mapping[str, Any], reason: FinishReason | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason.value if reason else None}
        return wire.event({**self._head("chat.completion.chunk"), "choices": [choice]})


def usage_json(usage: Usage) -> dict[str, Any]:
    """Return usage as the format has it: cached within the prompt, reasoning within the completion."""
    return {
        "prompt_tokens": usage.total_input,
        "completion_tokens": usage.total_output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def tool_from(declared: Mapping[str, Any]) -> Tool:
    """Return a declared function."""
    return Tool(
        wire.required(declared, "name", str),
        reading.text(declared, "description"),
        reading.member(declared, "parameters"),
    )


def format_from(given: Mapping[str, Any]) -> AnswerFormat | None:
    """Return the form of an answer, where one is given."""
    if not given:
        return None
    return AnswerFormat(reading.member(given, "schema"), reading.text(given, "name"), given.get("strict") is True)


def _message(turn: Mapping[str, Any]) -> Message:
    role, content = turn.get("role"), turn.get("content")
    if not isinstance(role, str):
        raise BadRequest("A message must be an object with a role.")
    calls = tuple(_call_from(call) for call in wire.dicts(turn, "tool_calls"))
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        if not isinstance(content, list):
            raise BadRequest("A message's content must be a text or a list of parts.")
        content = wire.content_from([_part(part) for part in wire.dicts(turn, "content")])
    return Message(role, content, calls, reading.text(turn, "tool_call_id"))


def _part(part: Mapping[str, Any]) -> Part:
    if part.get("type") == "image_url":
        return wire.image_from(reading.text(reading.member(part, "image_url"), "url"))
    return reading.text(part, "text")


def _call_from(call: Mapping[str, Any]) -> ToolCall:
    function = reading.member(call, "function")
    return ToolCall(reading.text(call, "id"), reading.text(function, "name"), reading.text(function, "arguments"))


def _call_json(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _call_fragment(delta: Delta) -> dict[str, Any]:
    said = fragment(delta)
    first = {"id": said["id"], "type": "function"} if "id" in said else {}
    name = {"name": said["name"]} if "name" in said else {}
    return {"index": said["index"], **first, "function": {**name, "arguments": said["arguments"]}}
