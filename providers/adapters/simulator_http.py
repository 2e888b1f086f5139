"""The simulator behind a real socket, in OpenAI's wire format, for tests and load runs."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from aiohttp import web

from providers.adapters import simulator_wire as wire
from providers.adapters.simulator import SimulatorAdapter
from providers.adapters.simulator_ledger import Entry, Ledger
from providers.errors import BadRequest, MalformedAnswer, ProviderError, StreamCut, Unavailable
from providers.types import CompletionRequest, Delta, Finish, ProviderConfig, Usage

MODELS = ("sim-1", "sim-large")
LARGEST_BODY_BYTES = 20 * 1024 * 1024
BROKEN_JSON = b'{"id": "chatcmpl-'

Items = AsyncIterator[Delta | Finish]


class SimulatorServer:
    """Serves /v1/chat/completions, /v1/models and /healthz until it is stopped."""

    def __init__(self, ledger_path: Path | None = None) -> None:
        self._ledger = Ledger(ledger_path)
        self._adapter = SimulatorAdapter(ProviderConfig("simulator", "simulator"))
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._completions)
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

    async def _completions(self, http_request: web.Request) -> web.StreamResponse:
        try:
            body = await _body_of(http_request)
            request = wire.request_from(body, http_request.headers.get("X-Request-Id", ""))
        except BadRequest as error:
            return _refusal(error)
        entry = Entry(self._ledger, request)
        entry.begin()
        try:
            async with aclosing(self._adapter.stream(request)) as items:
                return await _Call(http_request, request, entry, wire.wants_usage(body)).answer(items)
        except ConnectionError:
            return web.Response()
        finally:
            entry.end()


class _Call:
    """One call being answered."""

    def __init__(self, http_request: web.Request, request: CompletionRequest, entry: Entry, with_usage: bool) -> None:
        self.http_request, self.request, self.entry, self.with_usage = http_request, request, entry, with_usage
        self.head = {"id": f"chatcmpl-{entry.call_id}", "created": int(time.time()), "model": request.model}
        self.response: web.StreamResponse | None = None

    async def answer(self, items: Items) -> web.StreamResponse:
        """Answer as the request wants it; a failure before the first word is a status, a later one an event."""
        try:
            return await (self._stream(items) if self.request.stream else self._whole(items))
        except ProviderError as error:
            self.entry.settle(error.code, error.usage or Usage())
            return await self._fail(error)

    async def _whole(self, items: Items) -> web.StreamResponse:
        text = ""
        async for item in items:
            if isinstance(item, Finish):
                body = wire.completion_json(self.head, text, item.reason, self._settled(item))
                return web.json_response(body, headers=self._headers())
            text += item.data
        raise Unavailable

    async def _stream(self, items: Items) -> web.StreamResponse:
        async for item in items:
            response = self.response or await self._open()
            if isinstance(item, Finish):
                await response.write(self._end(item))
            else:
                await response.write(wire.event(wire.chunk(self.head, {"content": item.data})))
                self.entry.said(item.data)
        response = self.response or await self._open()
        await response.write_eof()
        return response

    async def _open(self) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", **self._headers()}
        self.response = web.StreamResponse(headers=headers)
        await self.response.prepare(self.http_request)
        await self.response.write(wire.event(wire.chunk(self.head, {"role": "assistant", "content": ""})))
        return self.response

    def _end(self, finish: Finish) -> bytes:
        usage = self._settled(finish)
        events = [wire.event(wire.chunk(self.head, {}, finish.reason))]
        if self.with_usage:
            events.append(wire.event(wire.usage_chunk(self.head, usage)))
        return b"".join([*events, b"data: [DONE]\n\n"])

    def _settled(self, finish: Finish) -> Usage:
        usage = finish.usage or Usage()
        self.entry.settle("completed", usage)
        return usage

    async def _fail(self, error: ProviderError) -> web.StreamResponse:
        if isinstance(error, StreamCut):
            return await self._cut()
        if isinstance(error, MalformedAnswer):
            return await self._break()
        if self.response is None:
            return _refusal(error)
        await self.response.write(wire.event(wire.error_json(error)[1]))
        await self.response.write_eof()
        return self.response

    async def _cut(self) -> web.StreamResponse:
        """Break the connection off in the middle of the body."""
        if self.request.stream:
            response = self.response or await self._open()
        else:
            response = web.StreamResponse(headers={"Content-Type": "application/json", **self._headers()})
            await response.prepare(self.http_request)
            await response.write(BROKEN_JSON)
        if self.http_request.transport:
            self.http_request.transport.close()
        return response

    async def _break(self) -> web.StreamResponse:
        """Send what is not JSON."""
        if not self.request.stream:
            return web.Response(body=BROKEN_JSON, content_type="application/json", headers=self._headers())
        response = self.response or await self._open()
        await response.write(b"data: " + BROKEN_JSON + b"\n\n")
        await response.write_eof()
        return response

    def _headers(self) -> dict[str, str]:
        return {"x-request-id": f"sim-{self.entry.call_id}"}


async def _body_of(http_request: web.Request) -> Any:
    try:
        return await http_request.json()
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None


def _refusal(error: ProviderError) -> web.Response:
    status, body, headers = wire.error_json(error)
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
