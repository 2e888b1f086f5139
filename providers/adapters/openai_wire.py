"""The chat completions format, read with suspicion; https://platform.openai.com/docs/api-reference/chat."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from providers import tool_calls
from providers.adapters import reading, vendor_errors
from providers.adapters.exchange import Answer
from providers.errors import MalformedAnswer, Overloaded, Unavailable
from providers.types import CompletionRequest, Delta, DeltaKind, FinishReason, Image, Message, Part, Usage, storable

FINISH_REASONS = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.REFUSAL,
}
"""Any other reason is a stop."""
BREAKDOWNS = {"error": Unavailable, "insufficient_system_resource": Overloaded}
"""Reasons that are errors: OpenRouter's and DeepSeek's."""


def body_for(request: CompletionRequest, *, max_tokens_field: str, include_usage: bool) -> dict[str, Any]:
    """Return the body of a request."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_turn(message) for message in request.messages],
        max_tokens_field: request.max_output_tokens,
        "stream": request.stream,
    }
    if request.stream and include_usage:
        body["stream_options"] = {"include_usage": True}
    body |= request.sampling
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        body["tools"] = [{"type": "function", "function": tool_json(tool)} for tool in request.tools]
    if request.tool_choice:
        body["tool_choice"] = tool_choice(request.tool_choice, nested=True)
    if wanted := request.answer_format:
        schema = {"name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def tool_json(tool: Any) -> dict[str, Any]:
    """Return a tool's declaration."""
    return {"name": tool.name, "description": storable(tool.description), "parameters": tool.parameters}


def tool_choice(choice: str, *, nested: bool) -> Any:
    """Return the word as it is, a tool's name as an object, whose name this format keeps one level down (`nested`)."""
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", **({"function": {"name": choice}} if nested else {"name": choice})}


def image_url(image: Image) -> str:
    """Return where a picture is: its address, or itself as a data URL."""
    return image.url or f"data:{image.media_type};base64,{image.data}"


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        turn["content"] = turn["content"] or None
        turn["tool_calls"] = [_call(call) for call in message.tool_calls]
    return turn


def _call(call: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": storable(call.arguments)},
    }
    if call.signature:
        said["extra_content"] = {"google": {"thought_signature": call.signature}}
    return said


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A plain text where there are only texts: some servers take nothing else."""
    if any(isinstance(part, Image) for part in message.parts):
        return [_part(part) for part in message.parts]
    return storable(message.text)


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": image_url(part)}}
    return {"type": "text", "text": storable(part)}


class ChatAnswer(Answer):
    """A chat completion, or its chunks."""

    LAST_WORD: ClassVar = "[DONE]"

    def whole(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of a chat completion."""
        if not isinstance(payload.get("choices"), list):
            raise MalformedAnswer("The answer has no choices.")
        yield from self.pieces(payload)

    def pieces(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of a chunk; only the first choice counts, no other was asked for."""
        self.id = self.id or reading.text(payload, "id")
        self.usage = usage_of(payload.get("usage")) or self.usage
        for choice in reading.objects(payload, "choices"):
            if choice.get("index", 0) != 0:
                continue
            if choice.get("error"):
                raise vendor_errors.from_stream(choice, key=self.key)
            yield from self._said(choice.get("delta") or choice.get("message") or {})
            self._end(reading.text(choice, "finish_reason"))

    def _said(self, message: Any) -> Iterator[Delta]:
        if not isinstance(message, dict):
            raise MalformedAnswer
        if reasoning := reading.text(message, "reasoning_content") or reading.text(message, "reasoning"):
            yield Delta(DeltaKind.REASONING, reasoning)
        if said := _said_text(message):
            yield Delta(DeltaKind.TEXT, said)
        if refusal := reading.text(message, "refusal"):
            self.has_refusal = True
            yield Delta(DeltaKind.REFUSAL, refusal)
        for place, call in enumerate(reading.objects(message, "tool_calls")):
            yield _called(call, place)

    def _end(self, reason: str) -> None:
        if reason in BREAKDOWNS:
            raise BREAKDOWNS[reason]
        if reason:
            self.reason = FINISH_REASONS.get(reason, FinishReason.STOP)


def _called(call: Mapping[str, Any], place: int) -> Delta:
    """Return a fragment of a tool call; whole answers, and some servers' streams, do not number them."""
    function = reading.member(call, "function")
    index = reading.count(call, "index")
    return tool_calls.delta(
        place if index is None else index,
        id=reading.text(call, "id"),
        name=reading.text(function, "name"),
        arguments=reading.text(function, "arguments"),
        signature=reading.text(reading.member(reading.member(call, "extra_content"), "google"), "thought_signature"),
    )


def _said_text(message: Mapping[str, Any]) -> str:
    """Return the content, which is a text or a list of parts."""
    if isinstance(message.get("content"), list):
        return "".join(reading.text(part, "text") for part in reading.objects(message, "content"))
    return reading.text(message, "content")


def usage_of(raw: Any, *, prompt: str = "prompt", completion: str = "completion") -> Usage | None:
    """
    Return usage in disjoint buckets; None: not said, or not sensibly.

    `prompt` and `completion` begin the names (the Responses format says input and output). Cached and cache-writing
    tokens are within the prompt, reasoning within the completion; but xAI's and Gemini's reasoning is beside it, which
    the total tells.
    """
    if not isinstance(raw, dict):
        return None
    asked, said = reading.count(raw, f"{prompt}_tokens"), reading.count(raw, f"{completion}_tokens")
    if asked is None or said is None:
        return None
    details = reading.member(raw, f"{prompt}_tokens_details")
    read = min(reading.count(details, "cached_tokens") or 0, asked)
    written = min(reading.count(details, "cache_write_tokens") or 0, asked - read)
    reasoning = reading.count(reading.member(raw, f"{completion}_tokens_details"), "reasoning_tokens") or 0
    beside = max(0, (reading.count(raw, "total_tokens") or 0) - asked - said)
    within = min(max(0, reasoning - beside), said)
    return Usage(
        input_tokens=asked - read - written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=said - within,
        reasoning_tokens=beside + within,
    )
