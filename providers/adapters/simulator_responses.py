"""The simulator's side of the Responses format."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from providers.adapters import reading
from providers.adapters import simulator_wire as wire
from providers.adapters.simulator_openai import ChatWire, format_from, tool_from
from providers.adapters.simulator_wire import Refusal, Wire
from providers.errors import BadRequest, ProviderError
from providers.tool_calls import fragment
from providers.types import CompletionRequest, Delta, DeltaKind, Finish, FinishReason, Message, Part, ToolCall, Usage


class ResponsesWire(Wire):
    """Responses."""

    BROKEN = b'{"type": "response.'

    def __init__(self, request: CompletionRequest, call_id: str, body: Mapping[str, Any]) -> None:
        super().__init__(request, call_id, body)
        self._number, self._deltas = -1, list[Delta]()

    @classmethod
    def request_from(cls, body: Mapping[str, Any], model: str, request_id: str) -> CompletionRequest:
        """Return the request that a body stands for."""
        given = body.get("input")
        turns = [{"role": "user", "content": given}] if isinstance(given, str) else wire.dicts(body, "input")
        if not turns:
            raise BadRequest("Missing required parameter: 'input'.")
        system = [Message("system", said)] if (said := reading.text(body, "instructions")) else []
        form = reading.member(reading.member(body, "text"), "format")
        return CompletionRequest(
            model=wire.required(body, "model", str),
            messages=(*system, *_messages(turns)),
            max_output_tokens=wire.cap(
                body.get("max_output_tokens") or wire.DEFAULT_MAX_OUTPUT_TOKENS, "max_output_tokens"
            ),
            tools=tuple(tool_from(tool) for tool in wire.dicts(body, "tools")),
            answer_format=format_from(form) if form.get("type") == "json_schema" else None,
            stream=wire.flag(body, "stream"),
            request_id=request_id,
            options={"simulate": body.get("simulate")},
        )

    @classmethod
    def refusal(cls, error: ProviderError) -> Refusal:
        """Return a failure's status, body and headers."""
        return ChatWire.refusal(error)

    def opening(self, input_usage: Usage) -> bytes:
        """Return the event that the response is made."""
        return self._event("response.created", response=self._response("in_progress", [], None))

    def piece(self, delta: Delta) -> bytes:
        """Return the events of a piece."""
        self._deltas.append(delta)
        if delta.kind != DeltaKind.TOOL_CALL:
            kind = "reasoning_summary_text" if delta.kind == DeltaKind.REASONING else "output_text"
            place = {"item_id": f"msg_{self.call_id}", "output_index": 0, "content_index": 0, "summary_index": 0}
            return self._event(f"response.{kind}.delta", delta=delta.data, logprobs=[], **place)
        said = fragment(delta)
        place = {"output_index": said["index"] + 1, "item_id": f"fc_{said['index']}"}
        if "id" in said:
            item = _call_json(ToolCall(said["id"], said["name"], ""))
            return self._event("response.output_item.added", item=item, **place)
        return self._event("response.function_call_arguments.delta", delta=said["arguments"], **place)

    def ending(self, finish: Finish, usage: Usage | None) -> bytes:
        """Return the event with the whole response."""
        response = self.whole(self._deltas, finish, usage)
        return self._event(f"response.{response['status']}", response=response)

    def whole(self, deltas: Sequence[Delta], finish: Finish, usage: Usage | None) -> dict[str, Any]:
        """Return a response."""
        output: list[dict[str, Any]] = []
        if thought := wire.text_of(deltas, DeltaKind.REASONING):
            summary = [{"type": "summary_text", "text": thought}]
            output.append({"type": "reasoning", "id": f"rs_{self.call_id}", "summary": summary})
        if said := wire.text_of(deltas, DeltaKind.TEXT):
            content = [{"type": "output_text", "text": said, "annotations": []}]
            message = {"type": "message", "id": f"msg_{self.call_id}", "role": "assistant", "status": "completed"}
            output.append({**message, "content": content})
        output += [_call_json(call) for call in wire.calls_of(deltas)]
        is_cut = finish.reason == FinishReason.LENGTH
        response = self._response("incomplete" if is_cut else "completed", output, usage)
        return response | ({"incomplete_details": {"reason": "max_output_tokens"}} if is_cut else {})

    def failed(self, error: ProviderError) -> bytes:
        """Return how a stream tells of a failure."""
        details = self.refusal(error)[1]["error"]
        return self._event("error", code=details["code"] or details["type"], message=details["message"], param=None)

    def _event(self, kind: str, **values: Any) -> bytes:
        self._number += 1
        return wire.event({"type": kind, "sequence_number": self._number, **values}, kind)

    def _response(self, status: str, output: list[dict[str, Any]], usage: Usage | None) -> dict[str, Any]:
        return {
            "id": f"resp_{self.call_id}",
            "object": "response",
            "created_at": int(time.time()),
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.request.model,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": _usage_json(usage) if usage else None,
        }


def _usage_json(usage: Usage) -> dict[str, Any]:
    """Return usage as the format has it: cached within the input, reasoning within the output."""
    return {
        "input_tokens": usage.total_input,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.total_output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total,
    }


def _messages(items: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the turns; a call of a tool is part of the turn before it."""
    turns: list[Message] = []
    for item in items:
        if item.get("type") == "function_call_output":
            turns.append(Message("tool", reading.text(item, "output"), tool_call_id=reading.text(item, "call_id")))
        elif item.get("type") == "function_call":
            before = turns.pop() if turns and turns[-1].role == "assistant" else Message("assistant")
            turns.append(Message("assistant", before.content, (*before.tool_calls, _call_from(item))))
        else:
            turns.append(Message(wire.required(item, "role", str), _content(item)))
    return turns


def _content(item: Mapping[str, Any]) -> str | tuple[Part, ...]:
    given = item.get("content")
    return given if isinstance(given, str) else wire.content_from([_part(part) for part in wire.dicts(item, "content")])


def _part(part: Mapping[str, Any]) -> Part:
    if part.get("type") == "input_image":
        return wire.image_from(reading.text(part, "image_url"))
    return reading.text(part, "text")


def _call_from(item: Mapping[str, Any]) -> ToolCall:
    return ToolCall(reading.text(item, "call_id"), reading.text(item, "name"), reading.text(item, "arguments"))


def _call_json(call: ToolCall) -> dict[str, Any]:
    names = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
    return {"type": "function_call", "id": f"fc_{call.id}", "status": "completed", **names}
