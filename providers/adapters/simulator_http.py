"""The simulator behind a real socket, in the wire formats of the vendors, for tests and load runs."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from providers import tokens
from providers.adapters import simulator_embeddings
from providers.adapters.simulator import SimulatorAdapter
from providers.adapters.simulator_anthropic import MessagesWire
from providers.adapters.simulator_gemini import GeminiWire
from providers.adapters.simulator_ledger import Entry, Ledger
from providers.adapters.simulator_openai import ChatWire
from providers.adapters.simulator_responses import ResponsesWire
from providers.adapters.simulator_wire import Refusal, Wire
from providers.errors import BadRequest, MalformedAnswer, ProviderError, StreamCut, Unavailable
from providers.types import CompletionRequest, Delta, DeltaKind, Finish, ProviderConfig, Usage

MODELS = ("sim-1", "sim-large")
LARGEST_BODY_BYTES = 20 * 1024 * 1024
ROUTES: dict[str, type[Wire]] = {
    "/v1/chat/completions": ChatWire,
    "/v1/responses": ResponsesWire,
    "/v1/messages": MessagesWire,
    "/{version:v1|v1beta}/models/{model}:generateContent": GeminiWire,
    "/{version:v1|v1beta}/models/{model}:streamGenerateContent": GeminiWire,
}
GEMINI_EMBEDDINGS = "/{version:v1|v1beta}/models/{model}:batchEmbedContents"

Items = AsyncGenerator[Delta | Usage | Finish, None]


class SimulatorServer:
    """Serves the vendors' calls for completions and embeddings, /v1/models and /healthz until it is stopped."""

    def __init__(self, ledger_path: Path | None = None) -> None:
        self._ledger = Ledger(ledger_path)
        self._adapter = SimulatorAdapter(ProviderConfig("simulator", "simulator"))
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        for path, wire in ROUTES.items():
            app.router.add_post(path, partial(self._complete, wire))
        app.router.add_post("/v1/embeddings", partial(self._embed, simulator_embeddings.OpenAI))
        app.router.add_post(GEMINI_EMBEDDINGS, partial(self._embed, simulator_embeddings.Gemini))
        app.router.add_get("/v1/models", _models)
        app.router.add_get("/healthz", _healthz)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)

    async def start(self, host: str, port: int) -> str:
        """Listen, and return the URL; port 0 takes a free one."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        bound = self._runner.addresses[0][1]
        return f"http://{f'[{host}]' if ':' in host else host}:{bound}"

    async def stop(self) -> None:
        """Stop listening, cut what runs, close the ledger."""
        await self._runner.cleanup()
        self._ledger.close()

    async def _complete(self, kind: type[Wire], http_request: web.Request) -> web.StreamResponse:
        try:
            body = await _body_of(http_request)
            request = _request(kind, body, http_request)
        except BadRequest as error:
            return _refused(kind.refusal(error))
        entry = Entry(self._ledger, request)
        entry.begin()
        try:
            async with aclosing(self._adapter.stream(request)) as items:
                return await _Call(http_request, kind(request, entry.call_id, body), entry).answer(items)
        except ConnectionError:
            return web.Response()
        finally:
            entry.end()

    async def _embed(self, kind: type[simulator_embeddings.Format], http_request: web.Request) -> web.StreamResponse:
        try:
            body = await _body_of(http_request)
            request = kind.request_from(body, http_request.match_info.get("model", ""))
            return web.json_response(kind.answer(body, await self._adapter.embed(request)))
        except ProviderError as error:
            return _refused(kind.wire.refusal(error))


def _request(kind: type[Wire], body: Mapping[str, Any], http_request: web.Request) -> CompletionRequest:
    request_id, model = http_request.headers.get("X-Request-Id", ""), http_request.match_info.get("model", "")
    request = kind.request_from(body, model, request_id)
    return replace(request, stream="stream" in http_request.path) if model else request


class _Call:
    """One call being answered."""

    def __init__(self, http_request: web.Request, wire: Wire, entry: Entry) -> None:
        self.http_request, self.wire, self.entry = http_request, wire, entry
        self.is_stream = wire.request.stream
        self.response: web.StreamResponse | None = None

    async def answer(self, items: Items) -> web.StreamResponse:
        """Answer as the request wants it; a failure before the first word is a status, a later one an event."""
        try:
            return await (self._stream(items) if self.is_stream else self._whole(items))
        except ProviderError as error:
            self.entry.settle(error.code, error.usage or Usage())
            return await self._fail(error)

    async def _whole(self, items: Items) -> web.StreamResponse:
        deltas: list[Delta] = []
        async for item in items:
            if isinstance(item, Finish):
                body = self.wire.whole(deltas, item, self._settled(item))
                return web.json_response(body, headers=self.wire.headers())
            if isinstance(item, Delta):
                deltas.append(item)
        raise Unavailable

    async def _stream(self, items: Items) -> web.StreamResponse:
        async for item in items:
            response = self.response or await self._open()
            if isinstance(item, Finish):
                await response.write(self.wire.ending(item, self._settled(item)))
            elif isinstance(item, Delta):
                await response.write(self.wire.piece(item))
                if item.kind == DeltaKind.TEXT:
                    self.entry.said(item.data)
        response = self.response or await self._open()
        await response.write_eof()
        return response

    async def _open(self) -> web.StreamResponse:
        kind = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        self.response = web.StreamResponse(headers=kind | self.wire.headers())
        await self.response.prepare(self.http_request)
        request = self.wire.request
        asked = tokens.estimate_input(request.messages, request.tools, request.answer_format)
        await self.response.write(self.wire.opening(Usage(input_tokens=asked)))
        return self.response

    def _settled(self, finish: Finish) -> Usage | None:
        request, said = self.wire.request, "".join(self.entry.sent)
        self.entry.settle("completed", finish.usage or tokens.count_usage(request.messages, said))
        return finish.usage

    async def _fail(self, error: ProviderError) -> web.StreamResponse:
        if isinstance(error, StreamCut):
            return await self._cut()
        if isinstance(error, MalformedAnswer):
            return await self._break()
        if self.response is None:
            return _refused(self.wire.refusal(error))
        await self.response.write(self.wire.failed(error))
        await self.response.write_eof()
        return self.response

    async def _cut(self) -> web.StreamResponse:
        """Break the connection off in the middle of the body."""
        if self.is_stream:
            response = self.response or await self._open()
        else:
            response = web.StreamResponse(headers={"Content-Type": "application/json", **self.wire.headers()})
            await response.prepare(self.http_request)
            await response.write(self.wire.BROKEN)
        if self.http_request.transport:
            self.http_request.transport.close()
        return response

    async def _break(self) -> web.StreamResponse:
        """Send what is not JSON."""
        if not self.is_stream:
            return web.Response(body=self.wire.BROKEN, content_type="application/json", headers=self.wire.headers())
        response = self.response or await self._open()
        await response.write(self.wire.broken())
        await response.write_eof()
        return response


async def _body_of(http_request: web.Request) -> dict[str, Any]:
    try:
        body = await http_request.json()
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


def _refused(refusal: Refusal) -> web.Response:
    status, body, headers = refusal
    return web.json_response(body, status=status, headers=headers)


async def _models(_: web.Request) -> web.Response:
    models = [{"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in MODELS]
    return web.json_response({"object": "list", "data": models})


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def serve(host: str, port: int, ledger_path: Path | None, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called with the URL."""
    server, stopped = SimulatorServer(ledger_path), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        ready(await server.start(host, port))
        await stopped.wait()
    finally:
        await server.stop()
