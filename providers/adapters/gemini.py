"""Gemini's generateContent; https://ai.google.dev/api/generate-content."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from providers import tokens, tool_calls
from providers.adapters import reading
from providers.adapters.exchange import Answer, HttpAdapter, Post, same_length
from providers.errors import BadRequest, ContentRefused, MalformedAnswer
from providers.keys import read_key, scrubbed
from providers.types import (
    CompletionRequest,
    Delta,
    DeltaKind,
    EmbeddingRequest,
    Embeddings,
    FinishReason,
    Image,
    Message,
    Part,
    ProviderConfig,
    ToolCall,
    Usage,
    storable,
)

VERSIONS = ("/v1beta", "/v1")
FINISH_REASONS = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "ESCALATION"),
        FinishReason.REFUSAL,
    ),
}
"""Any other reason is a stop."""
MALFORMED = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE")
TOOL_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


class GeminiAdapter(HttpAdapter):
    """Speaks generateContent with the server at `base_url`, which is, as for the vendor's own SDK, without version."""

    REQUEST_ID_HEADER: ClassVar = ""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self._root = self.root if self.root.endswith(VERSIONS) else f"{self.root}{VERSIONS[0]}"

    def post_for(self, request: CompletionRequest, key: str) -> Post:
        """Return what asks for this completion."""
        call = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        return Post(f"{self._root}/{_path(request.model)}:{call}", body_for(request), _authorized(key))

    def answer_for(self, request: CompletionRequest, key: str) -> Answer:
        """Return the reader of its answer."""
        return GeminiAnswer(request, key)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Ask for vectors; https://ai.google.dev/api/embeddings."""
        key, path = read_key(self.config), _path(request.model)
        size = {"outputDimensionality": request.dimensions} if request.dimensions else {}
        asked = [{"model": path, "content": {"parts": [{"text": storable(text)}]}, **size} for text in request.texts]
        post = Post(f"{self._root}/{path}:batchEmbedContents", {"requests": asked}, _authorized(key))
        payload, _ = await self.ask(post, request, key)
        rows = [reading.vector(row, "values") for row in reading.objects(payload, "embeddings")]
        said = reading.count(reading.member(payload, "usageMetadata"), "promptTokenCount")
        usage = tokens.count_texts(request.texts) if said is None else Usage(input_tokens=said)
        return Embeddings(same_length(rows, len(request.texts)), usage)


def _authorized(key: str) -> dict[str, str]:
    """In a header: in the URL, as the vendor's first examples had it, the key would stand in every proxy's log."""
    return {"x-goog-api-key": key} if key else {}


def _path(model: str) -> str:
    """Return a model's path; a name can leave neither its place nor its server."""
    kind, slash, name = model.partition("/")
    if slash and kind in ("models", "tunedModels"):
        return f"{kind}/{quote(name, safe='')}"
    return f"models/{quote(model, safe='')}"


SAMPLING = {"temperature": "temperature", "top_p": "topP"}


def body_for(request: CompletionRequest) -> dict[str, Any]:
    """Return the body of a request."""
    config: dict[str, Any] = {"maxOutputTokens": request.max_output_tokens}
    config |= {SAMPLING[name]: value for name, value in request.sampling.items()}
    if request.stop:
        config["stopSequences"] = list(request.stop)
    if request.answer_format:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": request.answer_format.schema}
    body: dict[str, Any] = {"contents": _contents(request.messages), "generationConfig": config}
    if system := [{"text": storable(turn.text)} for turn in request.messages if turn.role == "system" and turn.text]:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        declared = [
            {"name": tool.name, "description": storable(tool.description), "parametersJsonSchema": tool.parameters}
            for tool in request.tools
        ]
        body["tools"] = [{"functionDeclarations": declared}]
    if request.tool_choice and request.tools:
        body["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice)}
    return body


def _choice(choice: str) -> dict[str, Any]:
    if choice in TOOL_MODES:
        return {"mode": TOOL_MODES[choice]}
    return {"mode": "ANY", "allowedFunctionNames": [choice]}


def _contents(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Return the turns; neighbours of one role become one, since results of tools are the user's. Empty ones go."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system" or not (parts := list(_parts(message, names))):
            continue
        role = "model" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": role, "parts": parts})
    if not turns:
        raise BadRequest("The prompt has no turn of a user.")
    return turns


def _parts(message: Message, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if message.role == "tool":
        if message.tool_call_id not in names:
            raise BadRequest(f"No turn before it has the tool call {message.tool_call_id[:80]!r}.")
        name, said = names[message.tool_call_id], {"output": storable(message.text)}
        yield {"functionResponse": {"id": message.tool_call_id, "name": name, "response": said}}
        return
    yield from (_part(part) for part in message.parts)
    yield from (_call(call) for call in message.tool_calls)


def _call(call: ToolCall) -> dict[str, Any]:
    said: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": tool_calls.arguments_of(call)}}
    return said | ({"thoughtSignature": call.signature} if call.signature else {})


def _part(part: Part) -> dict[str, Any]:
    if not isinstance(part, Image):
        return {"text": storable(part)}
    if part.url:
        kind = {"mimeType": part.media_type} if part.media_type else {}
        return {"fileData": {"fileUri": part.url, **kind}}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}


class GeminiAnswer(Answer):
    """A GenerateContentResponse; a stream is several of them, each with what is new, and usage so far."""

    def __init__(self, request: CompletionRequest, key: str) -> None:
        super().__init__(request, key)
        self._calls = 0

    def whole(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of a response."""
        if not isinstance(payload.get("candidates"), list) and not payload.get("promptFeedback"):
            raise MalformedAnswer("The answer has no candidates.")
        yield from self.pieces(payload)

    def pieces(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of a response; only the first candidate counts, no other was asked for."""
        self.id = self.id or reading.text(payload, "responseId")
        self.usage = usage_of(reading.member(payload, "usageMetadata")) or self.usage
        if why := reading.text(reading.member(payload, "promptFeedback"), "blockReason"):
            error = ContentRefused(scrubbed(f"The prompt was blocked: {why}.", self.key))
            error.usage = self.usage
            raise error
        for candidate in reading.objects(payload, "candidates")[:1]:
            for part in reading.objects(reading.member(candidate, "content"), "parts"):
                yield from self._said(part)
            self._end(reading.text(candidate, "finishReason"))

    def _said(self, part: Mapping[str, Any]) -> Iterator[Delta]:
        if call := reading.member(part, "functionCall"):
            arguments = json.dumps(reading.member(call, "args"), ensure_ascii=False)
            yield tool_calls.delta(
                self._calls,
                id=reading.text(call, "id") or f"{self.id or 'call'}-{self._calls}",
                name=reading.text(call, "name"),
                arguments=arguments,
                signature=reading.text(part, "thoughtSignature"),
            )
            self._calls += 1
        elif said := reading.text(part, "text"):
            yield Delta(DeltaKind.REASONING if part.get("thought") is True else DeltaKind.TEXT, said)

    def _end(self, reason: str) -> None:
        if reason in MALFORMED:
            raise MalformedAnswer(f"The model wrote what the provider could not read: {reason.lower()}.")
        if reason and reason != "FINISH_REASON_UNSPECIFIED":
            ended = FINISH_REASONS.get(reason, FinishReason.STOP)
            self.reason = FinishReason.TOOL_CALLS if self._calls and ended == FinishReason.STOP else ended


def usage_of(raw: Mapping[str, Any]) -> Usage | None:
    """Return usage in disjoint buckets: cached tokens are within the prompt, thoughts and tool results beside."""
    asked = reading.count(raw, "promptTokenCount")
    if asked is None:
        return None
    read = min(reading.count(raw, "cachedContentTokenCount") or 0, asked)
    said, thought = reading.count(raw, "candidatesTokenCount") or 0, reading.count(raw, "thoughtsTokenCount") or 0
    by_tools = reading.count(raw, "toolUsePromptTokenCount") or 0
    beside = max(0, (reading.count(raw, "totalTokenCount") or 0) - asked - said - thought - by_tools)
    return Usage(
        input_tokens=asked - read + by_tools,
        cache_read_tokens=read,
        output_tokens=said,
        reasoning_tokens=thought + beside,
    )
