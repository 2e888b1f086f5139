"""The simulator's side of Anthropic's Messages."""

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
)
from providers.tool_calls import arguments_of, fragment
from providers.types import (
    AnswerFormat,
    CompletionRequest,
    Delta,
    DeltaKind,
    Finish,
    FinishReason,
    Image,
    Message,
    Part,
    Tool,
    ToolCall,
    Usage,
)

ERRORS: dict[type[ProviderError], tuple[int, str]] = {
    RateLimited: (429, "rate_limit_error"),
    Overloaded: (529, "overloaded_error"),
    AuthenticationFailed: (401, "authentication_error"),
    PermissionRefused: (403, "permission_error"),
    ModelNotFound: (404, "not_found_error"),
    QuotaExhausted: (402, "billing_error"),
    ContentRefused: (400, "invalid_request_error"),
    ContextWindowExceeded: (400, "invalid_request_error"),
    BadRequest: (400, "invalid_request_error"),
}
"""Status and type of each failure; any other is a 500, api_error."""
SAID_SO: dict[type[ProviderError], str] = {
    ContentRefused: "Output blocked by content filtering policy",
    ContextWindowExceeded: "prompt is too long: 210000 tokens > 200000 maximum",
}
"""Failures that only their message tells apart."""
REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.REFUSAL: "refusal",
}
DELTAS = {DeltaKind.TEXT: ("text", "text_delta"), DeltaKind.REASONING: ("thinking", "thinking_delta")}


class MessagesWire(Wire):
    """Messages."""

    BROKEN = b'{"type": "message", "id": "msg_'
    REQUEST_ID_HEADER = "request-id"

    def __init__(self, request: CompletionRequest, call_id: str, body: Mapping[str, Any]) -> None:
        super().__init__(request, call_id, body)
        self._index, self._open = -1, ""

    @classmethod
    def request_from(cls, body: Mapping[str, Any], model: str, request_id: str) -> CompletionRequest:
        """Return the request that a body stands for."""
        form = reading.member(reading.member(body, "output_config"), "format")
        turns = wire.required(body, "messages", list) and wire.dicts(body, "messages")
        return CompletionRequest(
            model=wire.required(body, "model", str),
            messages=(*_system(body), *(message for turn in turns for message in _messages(turn))),
            max_output_tokens=wire.cap(body.get("max_tokens"), "max_tokens"),
            tools=tuple(_tool(tool) for tool in wire.dicts(body, "tools")),
            answer_format=AnswerFormat(reading.member(form, "schema")) if form else None,
            stream=wire.flag(body, "stream"),
            request_id=request_id,
            options={"simulate": body.get("simulate")},
        )

    @classmethod
    def refusal(cls, error: ProviderError) -> Refusal:
        """Return a failure's status, body and headers."""
        status, kind = ERRORS.get(type(error), (500, "api_error"))
        details = {"type": kind, "message": SAID_SO.get(type(error), str(error))}
        return status, {"type": "error", "error": details, "request_id": None}, wire.retry_headers(error)

    def opening(self, input_usage: Usage) -> bytes:
        """Return the events before the first block; they tell the input's usage."""
        message = {**self._head(), "content": [], "stop_reason": None, "usage": _usage_json(input_usage)}
        return _event({"type": "message_start", "message": message}) + _event({"type": "ping"})

    def piece(self, delta: Delta) -> bytes:
        """Return a block's delta, behind the events that end the block before it and begin its own."""
        if delta.kind == DeltaKind.TOOL_CALL:
            said = fragment(delta)
            begun = self._begin(f"tool {said['index']}", _tool_use(said)) if "id" in said else b""
            change: dict[str, Any] = {"type": "input_json_delta", "partial_json": said["arguments"]}
        else:
            name, kind = DELTAS[delta.kind]
            begun = self._begin(name, {"type": name, name: "", **({"signature": ""} if name == "thinking" else {})})
            change = {"type": kind, name: delta.data}
        return begun + _event({"type": "content_block_delta", "index": self._index, "delta": change})

    def ending(self, finish: Finish, usage: Usage | None) -> bytes:
        """Return the end of the last block, the reason with the usage, and the last word."""
        change = {"stop_reason": REASONS[finish.reason], "stop_sequence": None}
        told = {"usage": _usage_json(usage)} if usage else {}
        end = _event({"type": "message_delta", "delta": change, **told})
        return self._end() + end + _event({"type": "message_stop"})

    def whole(self, deltas: Sequence[Delta], finish: Finish, usage: Usage | None) -> dict[str, Any]:
        """Return a message."""
        blocks: list[dict[str, Any]] = []
        if thought := wire.text_of(deltas, DeltaKind.REASONING):
            blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
        if said := wire.text_of(deltas, DeltaKind.TEXT):
            blocks.append({"type": "text", "text": said})
        for call in wire.calls_of(deltas):
            blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments_of(call)})
        told = {"usage": _usage_json(usage)} if usage else {}
        return {**self._head(), "content": blocks, "stop_reason": REASONS[finish.reason], **told}

    def failed(self, error: ProviderError) -> bytes:
        """Return how a stream tells of a failure."""
        return _event(self.refusal(error)[1])

    def _head(self) -> dict[str, Any]:
        head = {"id": f"msg_{self.call_id}", "type": "message", "role": "assistant"}
        return {**head, "model": self.request.model, "stop_sequence": None}

    def _begin(self, name: str, block: Mapping[str, Any]) -> bytes:
        if self._open == name:
            return b""
        ended = self._end()
        self._index, self._open = self._index + 1, name
        return ended + _event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _end(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event({"type": "content_block_stop", "index": self._index})


def _event(payload: Mapping[str, Any]) -> bytes:
    return wire.event(payload, payload["type"])


def _usage_json(usage: Usage) -> dict[str, Any]:
    """Return usage as the format has it: input apart from the cache, thinking within the output."""
    return {
        "input_tokens": usage.input_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.total_output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _tool_use(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": said["id"], "name": said["name"], "input": {}}


def _tool(declared: Mapping[str, Any]) -> Tool:
    name, schema = wire.required(declared, "name", str), reading.member(declared, "input_schema")
    return Tool(name, reading.text(declared, "description"), schema)


def _system(body: Mapping[str, Any]) -> list[Message]:
    given = body.get("system")
    said = (
        given if isinstance(given, str) else "".join(reading.text(part, "text") for part in wire.dicts(body, "system"))
    )
    return [Message("system", said)] if said else []


def _messages(turn: Mapping[str, Any]) -> list[Message]:
    """Return what a turn stands for: results of tools are turns of their own with us."""
    role = turn.get("role")
    if role not in ("user", "assistant"):
        raise BadRequest("messages: role must be user or assistant.")
    if isinstance(turn.get("content"), str):
        return [Message(role, turn["content"])]
    blocks = wire.dicts(turn, "content")
    results = [_result(block) for block in blocks if block.get("type") == "tool_result"]
    parts = [_part(block) for block in blocks if block.get("type") in ("text", "image")]
    calls = tuple(_call(block) for block in blocks if block.get("type") == "tool_use")
    return results + ([Message(role, wire.content_from(parts), calls)] if parts or calls else [])


def _result(block: Mapping[str, Any]) -> Message:
    given = block.get("content")
    said = (
        given if isinstance(given, str) else wire.content_from([_part(part) for part in wire.dicts(block, "content")])
    )
    return Message("tool", said, tool_call_id=reading.text(block, "tool_use_id"))


def _part(block: Mapping[str, Any]) -> Part:
    if block.get("type") != "image":
        return wire.required(block, "text", str)
    source = reading.member(block, "source")
    return Image(reading.text(source, "media_type"), reading.text(source, "data"), reading.text(source, "url"))


def _call(block: Mapping[str, Any]) -> ToolCall:
    return ToolCall(reading.text(block, "id"), reading.text(block, "name"), wire.arguments(block, "input"))
