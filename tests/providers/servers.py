"""Real servers on real sockets, each on a loop of its own in a thread."""

import asyncio
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from providers.adapters.simulator_http import SimulatorServer

PAYLOADS = Path(__file__).parent / "payloads"
SECONDS = 60


def payload(name: str) -> Any:
    """Return a recorded vendor payload."""
    return json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))


@contextmanager
def loop_thread() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Run a loop in a thread; gives a function that runs a coroutine there and returns its result."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result(SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.close()


@contextmanager
def simulator(ledger_path: Path | None = None) -> Iterator[str]:
    """Serve the simulator; gives its base URL."""
    with loop_thread() as run:
        server = SimulatorServer(ledger_path)
        url = run(server.start("127.0.0.1", 0))
        try:
            yield f"{url}/v1"
        finally:
            run(server.stop())


@dataclass
class Vendor:
    """A hand-made server: says the same bytes to everybody, and remembers what it was asked."""

    url: str = ""
    connections: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when a client has left."""

    def header(self, name: str) -> str | None:
        """Return a header of the last request."""
        lines = [line.partition(":") for line in self.heads[-1].split("\r\n")[1:]]
        return next((value.strip() for key, _, value in lines if key.lower() == name.lower()), None)


Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def vendor(say: Say | bytes, *, keep_alive: bool = False, tls: ssl.SSLContext | None = None) -> Iterator[Vendor]:
    """Serve `say` (a coroutine function that writes, or the bytes) to each request, then hang up or not."""
    seen = Vendor()
    with loop_thread() as run:
        server = run(
            asyncio.start_server(lambda *streams: _serve(seen, say, keep_alive, *streams), "127.0.0.1", 0, ssl=tls)
        )
        seen.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield seen
        finally:
            run(_close(server))


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _serve(
    seen: Vendor, say: Say | bytes, keep_alive: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    seen.connections += 1
    try:
        await _answer(seen, say, reader, writer)
        while keep_alive:
            await _answer(seen, say, reader, writer)
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        # The client has left, or the test is over.
        pass
    finally:
        writer.close()
        seen.closed.set()


async def _answer(seen: Vendor, say: Say | bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    seen.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
    length = int(seen.header("Content-Length") or 0)
    seen.bodies.append(json.loads(await reader.readexactly(length)))
    if isinstance(say, bytes):
        writer.write(say)
        await writer.drain()
    else:
        await say(writer)


def response(
    body: bytes | str, *, status: str = "200 OK", content_type: str = "application/json", **headers: str
) -> bytes:
    """Return a whole HTTP response; header names get dashes for underscores."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def events(chunks: list[Any], *, done: bool = True) -> bytes:
    """Return chunks as server-sent events."""
    said = [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks]
    return b"".join(said) + (b"data: [DONE]\n\n" if done else b"")


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def in_chunk(data: bytes) -> bytes:
    """Return bytes in HTTP's chunked framing."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
