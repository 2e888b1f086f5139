"""The Responses format; https://platform.openai.com/docs/api-reference/responses."""

from collections.abc import Iterator
from typing import Any

from providers import tool_calls
from providers.adapters import reading, vendor_errors
from providers.adapters.exchange import Answer
from providers.adapters.openai_wire import image_url, tool_choice, tool_json, usage_of
from providers.errors import MalformedAnswer, StreamCut
from providers.types import CompletionRequest, Delta, DeltaKind, FinishReason, Image, Message, Part, storable

INCOMPLETE = {"max_output_tokens": FinishReason.LENGTH, "content_filter": FinishReason.REFUSAL}
TEXTS = {
    "response.output_text.delta": DeltaKind.TEXT,
    "response.refusal.delta": DeltaKind.REFUSAL,
    "response.reasoning_summary_text.delta": DeltaKind.REASONING,
    "response.reasoning_text.delta": DeltaKind.REASONING,
}
ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def body_for(request: CompletionRequest) -> dict[str, Any]:
    """Return the body of a request; nothing is kept at the provider."""
    body: dict[str, Any] = {
        "model": request.model,
        "input": [item for message in request.messages for item in _items(message)],
        "max_output_tokens": request.max_output_tokens,
        "stream": request.stream,
        "store": False,
    }
    body |= request.sampling
    if request.tools:
        body["tools"] = [{"type": "function", "strict": False, **tool_json(tool)} for tool in request.tools]
    if request.tool_choice:
        body["tool_choice"] = tool_choice(request.tool_choice, nested=False)
    if wanted := request.answer_format:
        schema = {"type": "json_schema", "name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
        body["text"] = {"format": schema}
    return body


def _items(message: Message) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": storable(message.text)}
        return
    if message.parts:
        yield {"role": message.role, "content": [_part(part, message.role) for part in message.parts]}
    for call in message.tool_calls:
        arguments = storable(call.arguments)
        yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}


def _part(part: Part, role: str) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": image_url(part), "detail": "auto"}
    return {"type": "output_text" if role == "assistant" else "input_text", "text": storable(part)}


class ResponsesAnswer(Answer):
    """A response, or the events by which it is made."""

    has_calls = False

    def whole(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of a response."""
        if not isinstance(payload.get("output"), list):
            raise MalformedAnswer("The answer has no output.")
        for place, item in enumerate(reading.objects(payload, "output")):
            if item.get("type") == "function_call":
                yield self._called(item, place, reading.text(item, "arguments"))
            yield from self._texts(item)
        self._end(payload)

    def pieces(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of one event."""
        kind = reading.text(payload, "type")
        if kind == "error":
            raise vendor_errors.from_stream(payload, key=self.key)
        if kind in TEXTS:
            self.has_refusal = self.has_refusal or TEXTS[kind] == DeltaKind.REFUSAL
            yield Delta(TEXTS[kind], reading.text(payload, "delta"))
        elif kind == "response.output_item.added" and (item := reading.member(payload, "item")):
            if item.get("type") == "function_call":
                yield self._called(item, reading.count(payload, "output_index") or 0, "")
        elif kind == "response.function_call_arguments.delta":
            index = reading.count(payload, "output_index") or 0
            yield tool_calls.delta(index, arguments=reading.text(payload, "delta"))
        elif kind in ENDS:
            self._end(reading.member(payload, "response"))
            self.is_done = True

    def _called(self, item: dict[str, Any], index: int, arguments: str) -> Delta:
        self.has_calls = True
        name, call_id = reading.text(item, "name"), reading.text(item, "call_id")
        return tool_calls.delta(index, id=call_id, name=name, arguments=arguments)

    def _texts(self, item: dict[str, Any]) -> Iterator[Delta]:
        for part in [*reading.objects(item, "summary"), *reading.objects(item, "content")]:
            if refusal := reading.text(part, "refusal"):
                self.has_refusal = True
                yield Delta(DeltaKind.REFUSAL, refusal)
            elif said := reading.text(part, "text"):
                yield Delta(DeltaKind.TEXT if part.get("type") == "output_text" else DeltaKind.REASONING, said)

    def _end(self, response: dict[str, Any]) -> None:
        """Take what the response says of itself; raises what a failed one stands for."""
        self.id = self.id or reading.text(response, "id")
        self.usage = usage_of(response.get("usage"), prompt="input", completion="output") or self.usage
        status = reading.text(response, "status")
        if response.get("error") or status == "failed":
            raise vendor_errors.from_stream(response, key=self.key)
        if status == "cancelled":
            raise StreamCut
        if status == "incomplete":
            why = reading.text(reading.member(response, "incomplete_details"), "reason")
            self.reason = INCOMPLETE.get(why, FinishReason.LENGTH)
        else:
            self.reason = FinishReason.TOOL_CALLS if self.has_calls else FinishReason.STOP
