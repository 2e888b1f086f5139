"""The chat completions format, read with suspicion; https://platform.openai.com/docs/api-reference/chat."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from providers.adapters import openai_errors
from providers.errors import EmptyAnswer, MalformedAnswer, Overloaded, StreamCut, Unavailable
from providers.types import CompletionRequest, Delta, DeltaKind, Finish, FinishReason, Usage, storable

DONE = "[DONE]"
LARGEST_COUNT = 1_000_000_000
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


def body_for(request: CompletionRequest, *, max_tokens_field: str, include_usage: bool, simulate: bool) -> bytes:
    """Return the JSON of a request."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": turn.role, "content": storable(turn.content)} for turn in request.messages],
        max_tokens_field: request.max_output_tokens,
        "stream": request.stream,
    }
    if request.stream and include_usage:
        body["stream_options"] = {"include_usage": True}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if simulate and (script := request.options.get("simulate")):
        body["simulate"] = script
    return json.dumps(body).encode()


class Answer:
    """One answer, whole or in chunks: turns each JSON text into pieces, and remembers how it ends."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._id = ""
        self._has_refusal = self._is_done = self._has_begun = False

    @property
    def may_end(self) -> bool:
        """Has the reason of its end been said? Usage may still follow."""
        return self._reason is not None

    @property
    def is_done(self) -> bool:
        """Has the stream's last word been said?"""
        return self._is_done

    def read(self, text: str) -> Iterator[Delta]:
        """Yield the pieces of one event's data."""
        self._has_begun = True
        if text.strip() == DONE:
            self._is_done = True
            return
        yield from self._pieces(_object(text))

    def read_last(self, text: str) -> Iterator[Delta]:
        """Yield the pieces of what stood at the very end of a stream; half a chunk there is a cut."""
        try:
            yield from self.read(text)
        except MalformedAnswer:
            raise StreamCut from None

    def read_whole(self, text: str) -> Iterator[Delta]:
        """Yield the pieces of an answer that is not a stream."""
        if not text.strip():
            raise EmptyAnswer
        payload = _object(text)
        if not isinstance(payload.get("choices"), list) and not payload.get("error"):
            raise MalformedAnswer("The answer has no choices.")
        self._has_begun = self._is_done = True
        yield from self._pieces(payload)

    def finish(self, provider_request_id: str) -> Finish:
        """Return how it ended; raises EmptyAnswer when nothing came, StreamCut when no end came."""
        if not self._has_begun:
            raise EmptyAnswer
        if self._reason is None and not self._is_done:
            raise StreamCut
        reason = self._reason or FinishReason.STOP
        if self._has_refusal and reason == FinishReason.STOP:
            reason = FinishReason.REFUSAL
        return Finish(reason, self._usage, provider_request_id or self._id)

    def _pieces(self, chunk: Mapping[str, Any]) -> Iterator[Delta]:
        if chunk.get("error"):
            raise openai_errors.from_stream(chunk, key=self._key)
        self._id = self._id or _text(chunk, "id")
        self._usage = usage_of(chunk.get("usage")) or self._usage
        for choice in _objects(chunk, "choices"):
            if choice.get("index", 0) != 0:
                continue
            if choice.get("error"):
                raise openai_errors.from_stream(choice, key=self._key)
            yield from self._said(choice.get("delta") or choice.get("message") or {})
            self._end(_text(choice, "finish_reason"))

    def _said(self, message: Any) -> Iterator[Delta]:
        if not isinstance(message, dict):
            raise MalformedAnswer
        if reasoning := _text(message, "reasoning_content") or _text(message, "reasoning"):
            yield Delta(DeltaKind.REASONING, reasoning)
        if text := _content(message):
            yield Delta(DeltaKind.TEXT, text)
        if refusal := _text(message, "refusal"):
            self._has_refusal = True
            yield Delta(DeltaKind.REFUSAL, refusal)
        for call in _objects(message, "tool_calls"):
            yield Delta(DeltaKind.TOOL_CALL, json.dumps(call, ensure_ascii=False, separators=(",", ":")))

    def _end(self, reason: str) -> None:
        if reason in BREAKDOWNS:
            raise BREAKDOWNS[reason]
        if reason:
            self._reason = FINISH_REASONS.get(reason, FinishReason.STOP)


def usage_of(raw: Any) -> Usage | None:
    """
    Return usage in disjoint buckets; None: not said, or not sensibly.

    Cached and cache-writing tokens are within prompt_tokens, reasoning within completion_tokens; xAI's reasoning is
    beside them, which its total tells.
    """
    if not isinstance(raw, dict):
        return None
    prompt, completion = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    if prompt is None or completion is None:
        return None
    details = _object_or_empty(raw, "prompt_tokens_details")
    read = min(_count(details, "cached_tokens") or 0, prompt)
    written = min(_count(details, "cache_write_tokens") or 0, prompt - read)
    reasoning = _count(_object_or_empty(raw, "completion_tokens_details"), "reasoning_tokens") or 0
    is_beside = reasoning > 0 and _count(raw, "total_tokens") == prompt + completion + reasoning
    within = 0 if is_beside else min(reasoning, completion)
    return Usage(
        input_tokens=prompt - read - written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=completion - within,
        reasoning_tokens=reasoning if is_beside else within,
    )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedAnswer("The answer is not JSON.") from None
    if not isinstance(found, dict):
        raise MalformedAnswer("The answer is not a JSON object.")
    return found


def _objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = holder.get(name) or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise MalformedAnswer(f"The answer's {name} is not a list of objects.")
    return found


def _object_or_empty(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def _text(holder: Mapping[str, Any], name: str) -> str:
    found = holder.get(name)
    return found if isinstance(found, str) else ""


def _content(message: Mapping[str, Any]) -> str:
    """Return the content, which is a text or a list of parts."""
    if isinstance(message.get("content"), list):
        return "".join(_text(part, "text") for part in _objects(message, "content"))
    return _text(message, "content")


def _count(holder: Mapping[str, Any], name: str) -> int | None:
    found = holder.get(name)
    is_count = isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= LARGEST_COUNT
    return found if is_count else None
