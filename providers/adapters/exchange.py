"""One exchange over HTTP, as every vendor's adapter makes it: a JSON body out, JSON or server-sent events back."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import aiohttp

from providers.adapters import http, reading, vendor_errors
from providers.adapters.base import Adapter, Capabilities
from providers.adapters.sse import SseDecoder
from providers.errors import EmptyAnswer, MalformedAnswer, ProviderError, StreamCut, Unavailable
from providers.keys import read_key
from providers.types import (
    CompletionRequest,
    Delta,
    EmbeddingRequest,
    Finish,
    FinishReason,
    ProviderConfig,
    Usage,
)

TAIL_SECONDS = 5.0
"""How long usage and the last word are waited for after the reason of the end was said."""
END_SECONDS = 0.05
"""How long the end of the body is waited for after the last word, so that the connection can be used again."""
BLANK = b"\xef\xbb\xbf \t\r\n"
"""What may stand before JSON."""


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent; the key stands in the headers and nowhere else."""

    url: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class Answer(ABC):
    """One answer, whole or in events: turns each JSON text into pieces, and remembers how it ends."""

    LAST_WORD: ClassVar[str] = ""
    """What a stream ends with instead of JSON; empty: nothing."""

    def __init__(self, request: CompletionRequest, key: str) -> None:
        self.request, self.key = request, key
        self.reason: FinishReason | None = None
        """Why the model stopped; None until it was said. Usage may still follow."""
        self.usage: Usage | None = None
        self.id = ""
        self.has_refusal = self.is_done = self.has_begun = False
        self._usage_is_old = False
        """Did more come after usage was told?"""

    @abstractmethod
    def pieces(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of one event; set reason, usage, id, and `is_done` at a stream's last word."""

    @abstractmethod
    def whole(self, payload: dict[str, Any]) -> Iterator[Delta]:
        """Yield the pieces of an answer that is not a stream; raises MalformedAnswer when it is none."""

    def read(self, text: str) -> Iterator[Delta]:
        """Yield the pieces of one event's data."""
        self.has_begun = True
        if self.LAST_WORD and text.strip() == self.LAST_WORD:
            self.is_done = True
            return
        yield from self._checked(reading.json_object(text), self.pieces)

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
        payload = reading.json_object(text.removeprefix("\ufeff"))
        self.has_begun = self.is_done = True
        yield from self._checked(payload, self.whole)

    def _checked(self, payload: dict[str, Any], read: Callable[[dict[str, Any]], Iterator[Delta]]) -> Iterator[Delta]:
        if payload.get("error"):
            raise vendor_errors.from_stream(payload, key=self.key)
        told = self.usage
        for delta in read(payload):
            self._usage_is_old = True
            yield delta
        if self.usage is not told:
            self._usage_is_old = False

    def finish(self, provider_request_id: str) -> Finish:
        """Return how it ended; raises EmptyAnswer when nothing came, StreamCut when no end came."""
        if not self.has_begun:
            raise EmptyAnswer
        if self.reason is None and not self.is_done:
            raise StreamCut
        reason = self.reason or FinishReason.STOP
        if self.has_refusal and reason == FinishReason.STOP:
            reason = FinishReason.REFUSAL
        return Finish(reason, None if self._usage_is_old else self.usage, provider_request_id or self.id)


class HttpAdapter(Adapter):
    """What a vendor's adapter is but for its format: it says what to post, and who reads the answer."""

    OPTIONS: ClassVar = {**Adapter.OPTIONS, "stream": bool, "simulate": bool}
    REQUEST_ID_HEADER: ClassVar[str] = "x-request-id"

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.capabilities = Capabilities(
            streams=config.options.get("stream", True),
            reasoning=True,
            tool_calls=True,
            continues=config.options.get("continues", False),
        )
        self.root = config.base_url.rstrip("/")

    @abstractmethod
    def post_for(self, request: CompletionRequest, key: str) -> Post:
        """Return what asks for this completion; raises BadRequest where the format cannot say it."""

    @abstractmethod
    def answer_for(self, request: CompletionRequest, key: str) -> Answer:
        """Return the reader of its answer."""

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Usage | Finish, None]:
        """Post the request and yield what comes back."""
        key = read_key(self.config)
        post = self.post_for(request, key)
        accept = "text/event-stream, application/json" if request.stream else "application/json"
        async with self._exchange(post, request, key, accept) as response:
            answer = self.answer_for(request, key)
            async with aclosing(_pieces(response, answer)) as items:
                async for item in items:
                    yield item
            yield answer.finish(response.headers.get(self.REQUEST_ID_HEADER, ""))

    async def ask(self, post: Post, request: EmbeddingRequest, key: str) -> tuple[dict[str, Any], str]:
        """Post something that is answered at once; returns the JSON and the provider's id of it."""
        async with self._exchange(post, request, key, "application/json") as response:
            body = (await http.body_of(response)).decode("utf-8", "replace")
            payload = reading.json_object(body)
            if payload.get("error"):
                raise vendor_errors.from_stream(payload, key=key)
            return payload, response.headers.get(self.REQUEST_ID_HEADER, "")

    @asynccontextmanager
    async def _exchange(
        self, post: Post, request: CompletionRequest | EmbeddingRequest, key: str, accept: str
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Post and give the response, its head read; raises what a refusal stands for. One call, never tried again."""
        seconds = self.patience.connect_seconds
        body = dict(post.body)
        if self.config.options.get("simulate") and (script := request.options.get("simulate")):
            body["simulate"] = script
        with http.wire_errors():
            async with http.session().post(
                post.url,
                data=json.dumps(body).encode(),
                headers={**_headers(request), "Accept": accept, **post.headers},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds),
            ) as response:
                if not 200 <= response.status < 300:
                    raise await _refusal(response, key)
                yield response


def same_length(vectors: Sequence[tuple[float, ...]], wanted: int) -> tuple[tuple[float, ...], ...]:
    """Return so many vectors, all as long as the first; raises MalformedAnswer when they are not that."""
    if len(vectors) != wanted or len({len(vector) for vector in vectors}) > 1:
        raise MalformedAnswer("The answer does not have one vector of the same length for each text.")
    return tuple(vectors)


def _headers(request: CompletionRequest | EmbeddingRequest) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "tasuki"}
    if request.request_id:
        headers["X-Request-Id"] = headers["Idempotency-Key"] = http.header_value(request.request_id)
    if request.traceparent:
        headers["traceparent"] = request.traceparent
    return headers


async def _refusal(response: aiohttp.ClientResponse, key: str) -> ProviderError:
    if 300 <= response.status < 400:
        return Unavailable("The provider's base URL leads elsewhere; redirects are not followed.")
    body = await http.beginning_of(response)
    return vendor_errors.from_response(response.status, body, response.headers, key=key, now=datetime.now(UTC))


async def _pieces(response: aiohttp.ClientResponse, answer: Answer) -> AsyncGenerator[Delta | Usage, None]:
    """Some servers stream unasked, some do not although asked: the content type decides, else the first byte."""
    first = b""
    if response.content_type not in ("text/event-stream", "application/json"):
        first = await http.next_part(response)
    is_whole = first.lstrip(BLANK).startswith((b"{", b"[", b"<")) if first else not answer.request.stream
    if response.content_type == "text/event-stream" or (response.content_type != "application/json" and not is_whole):
        async with aclosing(_streamed(response, answer, first)) as items:
            async for item in items:
                yield item
        return
    body = first + await http.body_of(response)
    for delta in answer.read_whole(body.decode("utf-8", "replace")):
        yield delta


async def _streamed(
    response: aiohttp.ClientResponse, answer: Answer, part: bytes
) -> AsyncGenerator[Delta | Usage, None]:
    decoder = SseDecoder()
    while not answer.is_done and (part := part or await _part(response, answer)):
        for data in decoder.feed(part):
            told = answer.usage
            for delta in answer.read(data):
                yield delta
            if answer.usage and answer.usage is not told:
                yield answer.usage
        part = b""
    if answer.is_done:
        await _tail(response, END_SECONDS)
        return
    for data in decoder.flush():
        for delta in answer.read_last(data):
            yield delta


async def _part(response: aiohttp.ClientResponse, answer: Answer) -> bytes:
    return await _tail(response, TAIL_SECONDS) if answer.reason is not None else await http.next_part(response)


async def _tail(response: aiohttp.ClientResponse, seconds: float) -> bytes:
    """Return what still comes within that time; a cut does no harm any more."""
    try:
        async with asyncio.timeout(seconds):
            return await http.next_part(response)
    except (TimeoutError, StreamCut):
        return b""
