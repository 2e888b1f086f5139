"""Any server that speaks OpenAI's chat completions over HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import urlsplit

import aiohttp

from providers.adapters import http, openai_errors, openai_wire
from providers.adapters.base import Adapter, Capabilities
from providers.adapters.sse import SseDecoder
from providers.errors import StreamCut, Unavailable
from providers.keys import read_key
from providers.types import CompletionRequest, Delta, Finish, ProviderConfig

TAIL_SECONDS = 5.0
"""How long usage and [DONE] are waited for after the reason of the end was said."""
END_SECONDS = 0.05
"""How long the end of the body is waited for after [DONE], so that the connection can be used again."""
NEWER_FIELD = ("api.openai.com", "max_completion_tokens")
"""https://platform.openai.com/docs/api-reference/chat/create: its reasoning models refuse `max_tokens`."""


class OpenAIAdapter(Adapter):
    """Speaks chat completions, streaming or not, with the server at `base_url`."""

    OPTIONS: ClassVar = {
        **Adapter.OPTIONS,
        "max_tokens_field": str,
        "include_usage": bool,
        "stream": bool,
        "simulate": bool,
    }

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        options = config.options
        self.capabilities = Capabilities(streams=options.get("stream", True), reasoning=True, tool_calls=True)
        self._url = f"{config.base_url.rstrip('/')}/chat/completions"
        is_newer = urlsplit(config.base_url).hostname == NEWER_FIELD[0]
        self.max_tokens_field = options.get("max_tokens_field") or (NEWER_FIELD[1] if is_newer else "max_tokens")
        self._include_usage = options.get("include_usage", True)
        self._simulate = options.get("simulate", False)

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        """Post the request and yield what comes back."""
        key = read_key(self.config)
        with http.wire_errors():
            async with self._post(request, key) as response:
                if not 200 <= response.status < 300:
                    raise await _refusal(response, key)
                answer = openai_wire.Answer(key)
                pieces = _streamed if _is_stream(response, request) else _whole
                async with aclosing(pieces(response, answer)) as deltas:
                    async for delta in deltas:
                        yield delta
                yield answer.finish(response.headers.get("x-request-id", ""))

    def _post(self, request: CompletionRequest, key: str) -> "aiohttp.client._RequestContextManager":
        body = openai_wire.body_for(
            request,
            max_tokens_field=self.max_tokens_field,
            include_usage=self._include_usage,
            simulate=self._simulate,
        )
        seconds = self.patience.connect_seconds
        return http.session().post(
            self._url,
            data=body,
            headers=_headers(request, key),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds),
        )


def _headers(request: CompletionRequest, key: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "tasuki"}
    headers["Accept"] = "text/event-stream, application/json" if request.stream else "application/json"
    if request.request_id:
        headers["X-Request-Id"] = headers["Idempotency-Key"] = http.header_value(request.request_id)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _is_stream(response: aiohttp.ClientResponse, request: CompletionRequest) -> bool:
    """Some servers stream unasked, some do not although asked: the content type decides, where it is one of the two."""
    if response.content_type == "text/event-stream":
        return True
    return request.stream and response.content_type != "application/json"


async def _refusal(response: aiohttp.ClientResponse, key: str) -> Exception:
    if 300 <= response.status < 400:
        return Unavailable("The provider's base URL leads elsewhere; redirects are not followed.")
    body = await http.beginning_of(response)
    return openai_errors.from_response(response.status, body, response.headers, key=key, now=datetime.now(UTC))


async def _whole(response: aiohttp.ClientResponse, answer: openai_wire.Answer) -> AsyncGenerator[Delta, None]:
    body = await http.body_of(response)
    for delta in answer.read_whole(body.decode("utf-8", "replace")):
        yield delta


async def _streamed(response: aiohttp.ClientResponse, answer: openai_wire.Answer) -> AsyncGenerator[Delta, None]:
    decoder = SseDecoder()
    while not answer.is_done and (part := await _part(response, answer)):
        for data in decoder.feed(part):
            for delta in answer.read(data):
                yield delta
    if answer.is_done:
        await _tail(response, END_SECONDS)
        return
    for data in decoder.flush():
        for delta in answer.read_last(data):
            yield delta


async def _part(response: aiohttp.ClientResponse, answer: openai_wire.Answer) -> bytes:
    return await _tail(response, TAIL_SECONDS) if answer.may_end else await http.next_part(response)


async def _tail(response: aiohttp.ClientResponse, seconds: float) -> bytes:
    """Return what still comes within that time; a cut does no harm any more."""
    try:
        async with asyncio.timeout(seconds):
            return await http.next_part(response)
    except (TimeoutError, StreamCut):
        return b""
