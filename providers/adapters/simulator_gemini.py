"""The simulator's side of Gemini's generateContent."""

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
from providers.tool_calls import arguments_of
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
    RateLimited: (429, "RESOURCE_EXHAUSTED"),
    Overloaded: (503, "UNAVAILABLE"),
    AuthenticationFailed: (400, "INVALID_ARGUMENT"),
    PermissionRefused: (403, "PERMISSION_DENIED"),
    ModelNotFound: (404, "NOT_FOUND"),
    QuotaExhausted: (402, "FAILED_PRECONDITION"),
    ContextWindowExceeded: (400, "INVALID_ARGUMENT"),
    BadRequest: (400, "INVALID_ARGUMENT"),
}
"""Status and its name of each failure; any other is a 500, INTERNAL."""
TOO_LONG = "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
REASONS = {
    FinishReason.STOP: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.REFUSAL: "SAFETY",
}
ROLES = {"user": "user", "model": "assistant"}


class GeminiWire(Wire):
    """GenerateContent."""

    BROKEN = b'{"candidates": [{"'

    @classmethod
    def request_from(cls, body: Mapping[str, Any], model: str, request_id: str) -> CompletionRequest:
        """Return the request that a body stands for; whether it streams, the path says."""
        config = reading.member(body, "generationConfig")
        turns = wire.required(body, "contents", list) and wire.dicts(body, "contents")
        schema = reading.member(config, "responseJsonSchema")
        declared = [tool for group in wire.dicts(body, "tools") for tool in wire.dicts(group, "functionDeclarations")]
        return CompletionRequest(
            model=model,
            messages=(*_system(body), *(message for turn in turns for message in _messages(turn))),
            max_output_tokens=wire.cap(
                config.get("maxOutputTokens", wire.DEFAULT_MAX_OUTPUT_TOKENS), "maxOutputTokens"
            ),
            tools=tuple(_tool(tool) for tool in declared),
            answer_format=AnswerFormat(schema) if schema else None,
            request_id=request_id,
            options={"simulate": body.get("simulate")},
        )

    @classmethod
    def refusal(cls, error: ProviderError) -> Refusal:
        """Return a failure's status and body; how long to wait stands there, too."""
        if isinstance(error, ContentRefused):
            return 200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "candidates": []}, {}
        status, name = ERRORS.get(type(error), (500, "INTERNAL"))
        message = TOO_LONG if isinstance(error, ContextWindowExceeded) else str(error)
        details = {"code": status, "message": message, "status": name, "details": _details(error)}
        return status, {"error": details}, {}

    def opening(self, input_usage: Usage) -> bytes:
        """Return nothing: the first piece is the beginning."""
        return b""

    def piece(self, delta: Delta) -> bytes:
        """Return a response with what is new; a tool call waits until it is whole."""
        if delta.kind == DeltaKind.TOOL_CALL:
            self.calls.add(delta)
            return b""
        return wire.event(self._response([_text(delta)]))

    def ending(self, finish: Finish, usage: Usage | None) -> bytes:
        """Return the response that says why it ends."""
        return wire.event(self._response([_call_json(call) for call in self.calls.whole()], finish, usage))

    def whole(self, deltas: Sequence[Delta], finish: Finish, usage: Usage | None) -> dict[str, Any]:
        """Return a response."""
        parts = [_text(delta) for delta in deltas if delta.kind != DeltaKind.TOOL_CALL]
        return self._response([*parts, *(_call_json(call) for call in wire.calls_of(deltas))], finish, usage)

    def _response(
        self, parts: list[dict[str, Any]], finish: Finish | None = None, usage: Usage | None = None
    ) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if finish:
            candidate["finishReason"] = REASONS[finish.reason]
        told = {"usageMetadata": _usage_json(usage)} if usage else {}
        head = {"modelVersion": self.request.model, "responseId": self.call_id}
        return {"candidates": [candidate], **told, **head}


def _details(error: ProviderError) -> list[dict[str, Any]]:
    if isinstance(error, AuthenticationFailed):
        return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    if error.retry_after_seconds is None:
        return []
    return [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{error.retry_after_seconds}s"}]


def _usage_json(usage: Usage) -> dict[str, Any]:
    """Return usage as the format has it: cached within the prompt, thoughts beside the candidates."""
    return {
        "promptTokenCount": usage.total_input,
        "cachedContentTokenCount": usage.cache_read_tokens,
        "candidatesTokenCount": usage.output_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "totalTokenCount": usage.total,
    }


def _text(delta: Delta) -> dict[str, Any]:
    return {"text": delta.data, **({"thought": True} if delta.kind == DeltaKind.REASONING else {})}


def _call_json(call: ToolCall) -> dict[str, Any]:
    mark = {"thoughtSignature": call.signature} if call.signature else {}
    return {"functionCall": {"id": call.id, "name": call.name, "args": arguments_of(call)}, **mark}


def _tool(declared: Mapping[str, Any]) -> Tool:
    name, schema = wire.required(declared, "name", str), reading.member(declared, "parametersJsonSchema")
    return Tool(name, reading.text(declared, "description"), schema)


def _system(body: Mapping[str, Any]) -> list[Message]:
    parts = wire.dicts(reading.member(body, "systemInstruction"), "parts")
    return [Message("system", reading.text(part, "text")) for part in parts]


def _messages(turn: Mapping[str, Any]) -> list[Message]:
    """Return what a turn stands for: results of tools are turns of their own with us."""
    parts = wire.dicts(turn, "parts")
    results = [_result(reading.member(part, "functionResponse")) for part in parts if "functionResponse" in part]
    said = [_part(part) for part in parts if "functionResponse" not in part and "functionCall" not in part]
    calls = tuple(_call(part) for part in parts if "functionCall" in part)
    role = ROLES.get(reading.text(turn, "role") or "user")
    if role is None:
        raise BadRequest("Please use a valid role: user, model.")
    return results + ([Message(role, wire.content_from(said), calls)] if said or calls else [])


def _result(given: Mapping[str, Any]) -> Message:
    said = reading.text(reading.member(given, "response"), "output")
    return Message("tool", said, tool_call_id=reading.text(given, "id"))


def _part(part: Mapping[str, Any]) -> Part:
    if found := reading.member(part, "inlineData"):
        return Image(reading.text(found, "mimeType"), reading.text(found, "data"))
    if found := reading.member(part, "fileData"):
        return Image(reading.text(found, "mimeType"), url=reading.text(found, "fileUri"))
    return reading.text(part, "text")


def _call(part: Mapping[str, Any]) -> ToolCall:
    call = reading.member(part, "functionCall")
    arguments, mark = wire.arguments(call, "args"), reading.text(part, "thoughtSignature")
    return ToolCall(reading.text(call, "id"), reading.text(call, "name"), arguments, mark)
