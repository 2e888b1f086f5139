"""Anthropic's Messages; https://docs.claude.com/en/api/messages."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from providers import tool_calls
from providers.adapters import anthropic_schema, reading, vendor_errors
from providers.adapters.exchange import Answer, HttpAdapter, Post
from providers.errors import BadRequest, MalformedAnswer
from providers.types import (
    CompletionRequest,
    Delta,
    DeltaKind,
    FinishReason,
    Image,
    Message,
    Part,
    ProviderConfig,
    Usage,
    storable,
)

VERSION = "2023-06-01"
HOTTEST = 1.0
"""Its temperature ends where others' middle is."""
FINISH_REASONS = {
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
}
"""Any other reason is a stop."""
TOOL_CHOICES = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "output_tokens_details",
)
PIECES = {"text_delta": (DeltaKind.TEXT, "text"), "thinking_delta": (DeltaKind.REASONING, "thinking")}


class AnthropicAdapter(HttpAdapter):
    """Speaks Messages with the server at `base_url`, which is, as for the vendor's own SDK, without /v1."""

    OPTIONS: ClassVar = {**HttpAdapter.OPTIONS, "prompt_cache": str}
    REQUEST_ID_HEADER: ClassVar = "request-id"

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self._url = f"{self.root.removesuffix('/v1')}/v1/messages"
        self._prompt_cache = config.options.get("prompt_cache", "")

    def post_for(self, request: CompletionRequest, key: str) -> Post:
        """Return what asks for this completion."""
        headers = {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}
        return Post(self._url, body_for(request, self._prompt_cache), headers)

    def answer_for(self, request: CompletionRequest, key: str) -> Answer:
        """Return the reader of its answer."""
        return MessagesAnswer(request, key)


def body_for(request: CompletionRequest, prompt_cache: str = "") -> dict[str, Any]:
    """Return the body of a request; with `prompt_cache` (5m or 1h) the prompt up to its end is kept for so long."""
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "messages": _turns(request.messages),
        "stream": request.stream,
    }
    if system := "\n\n".join(storable(turn.text) for turn in request.messages if turn.role == "system"):
        body["system"] = system
    body |= request.sampling
    if "temperature" in body:
        body["temperature"] = min(body["temperature"], HOTTEST)
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": storable(tool.description), "input_schema": tool.parameters}
            for tool in request.tools
        ]
    if request.tool_choice and request.tools:
        body["tool_choice"] = TOOL_CHOICES.get(request.tool_choice, {"type": "tool", "name": request.tool_choice})
    if request.answer_format:
        schema = anthropic_schema.closed(request.answer_format.schema)
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if prompt_cache:
        body["cache_control"] = {"type": "ephemeral", "ttl": prompt_cache}
    return body


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Return the turns; neighbours of one role become one, since results of tools are the user's. Empty ones go."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if not (blocks := list(_blocks(message))):
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise BadRequest("The prompt has no turn of a user.")
    return turns


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    """Yield the blocks of a turn; texts that are blank are left out, this vendor refuses them."""
    blocks = [_block(part) for part in message.parts if isinstance(part, Image) or part.strip()]
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": blocks}
        return
    yield from blocks
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": tool_calls.arguments_of(call)}


def _block(part: Part) -> dict[str, Any]:
    if not isinstance(part, Image):
        return {"type": "text", "text": storable(part)}
    if part.url:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}


class MessagesAnswer(Answer):
    """A message, or the events by which it is made."""

    def __init__(self, request: CompletionRequest, key: str) -> None:
        super().__init__(request, key)
        self._counts: dict[str, Any] = {}

    def whole(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of a message."""
        if not isinstance(payload.get("content"), list):
            raise MalformedAnswer("The answer has no content.")
        self._begin(payload)
        for index, block in enumerate(reading.objects(payload, "content")):
            yield from self._open(block, index, json.dumps(reading.member(block, "input"), ensure_ascii=False))
        self._end(payload)

    def pieces(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of one event; kinds that we do not know are passed over, as the vendor asks."""
        kind, index = payload.get("type"), reading.count(payload, "index") or 0
        if kind == "error":
            raise vendor_errors.from_stream(payload, key=self.key)
        if kind == "message_start":
            self._begin(reading.member(payload, "message"))
        elif kind == "content_block_start":
            yield from self._open(reading.member(payload, "content_block"), index, "")
        elif kind == "content_block_delta":
            yield from self._said(reading.member(payload, "delta"), index)
        elif kind == "message_delta":
            self._count(payload)
            self._end(reading.member(payload, "delta"))
        elif kind == "message_stop":
            self.is_done = True

    def _begin(self, message: Mapping[str, Any]) -> None:
        self.id = reading.text(message, "id")
        self._count(message)

    def _count(self, holder: Mapping[str, Any]) -> None:
        """Take usage: the last word on each count is the vendor's total so far."""
        if said := reading.member(holder, "usage"):
            self._counts |= {name: said[name] for name in COUNTS if said.get(name) is not None}
            self.usage = usage_of(self._counts) or self.usage

    def _open(self, block: Mapping[str, Any], index: int, arguments: str) -> Iterator[Delta]:
        kind = block.get("type")
        if kind == "tool_use":
            name, call_id = reading.text(block, "name"), reading.text(block, "id")
            yield tool_calls.delta(index, id=call_id, name=name, arguments=arguments)
        elif kind == "text" and (said := reading.text(block, "text")):
            yield Delta(DeltaKind.TEXT, said)
        elif kind == "thinking" and (said := reading.text(block, "thinking")):
            yield Delta(DeltaKind.REASONING, said)

    def _said(self, delta: Mapping[str, Any], index: int) -> Iterator[Delta]:
        kind = delta.get("type")
        if kind == "input_json_delta":
            yield tool_calls.delta(index, arguments=reading.text(delta, "partial_json"))
        elif isinstance(kind, str) and kind in PIECES:
            what, name = PIECES[kind]
            yield Delta(what, reading.text(delta, name))

    def _end(self, holder: Mapping[str, Any]) -> None:
        if reason := reading.text(holder, "stop_reason"):
            self.reason = FINISH_REASONS.get(reason, FinishReason.STOP)


def usage_of(raw: Mapping[str, Any]) -> Usage | None:
    """Return usage in disjoint buckets, as this vendor's are but for thinking, which is within the output."""
    asked, said = reading.count(raw, "input_tokens"), reading.count(raw, "output_tokens")
    if asked is None or said is None:
        return None
    written = reading.count(raw, "cache_creation_input_tokens") or 0
    kept_long = reading.count(reading.member(raw, "cache_creation"), "ephemeral_1h_input_tokens") or 0
    thought = reading.count(reading.member(raw, "output_tokens_details"), "thinking_tokens") or 0
    return Usage(
        input_tokens=asked,
        cache_read_tokens=reading.count(raw, "cache_read_input_tokens") or 0,
        cache_write_tokens=max(0, written - kept_long),
        cache_write_1h_tokens=min(kept_long, written),
        output_tokens=said - min(thought, said),
        reasoning_tokens=min(thought, said),
    )
