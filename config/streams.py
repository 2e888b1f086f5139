"""What a web process adds to streams: hundreds of open chats, of which many are being answered."""

import asyncio
import json
import statistics
import time
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg

from config.local_services import free_port, throw_away_folder
from config.programs import printed_key
from config.stack import Stack
from config.websocket import WebSocket

TOKENS_PER_SECOND = 20
SAMPLE_SECONDS = 2.0
OPENING_AT_ONCE = 20
PATIENCE_SECONDS = 180.0
UNLIMITED = (
    "UPDATE providers_providerlimit SET max_concurrency = NULL, requests_per_minute = NULL, tokens_per_minute = NULL"
)
FLUSHED = """SELECT task_id, seq, extract(epoch FROM pg_xact_commit_timestamp(xmin))
    FROM ai_tasks_chunk WHERE parts IS NULL"""
STORED = "SELECT id, content FROM chat_chatmessage WHERE role = 'assistant'"


@dataclass(slots=True)
class Client:
    """One open chat and what it heard."""

    session_id: str
    socket: WebSocket | None = None
    message_id: str = ""
    task_id: str = ""
    texts: list[str] = field(default_factory=list)
    heard: dict[int, float] = field(default_factory=dict)
    """Wall-clock time by seq."""
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, port: int, key: str) -> None:
        """Connect and wait for the snapshot."""
        self.socket = await WebSocket.open(port, f"/ws/chat/{self.session_id}/", key)
        async for frame in self.socket.frames():
            if frame["type"] == "session.snapshot":
                return

    async def listen(self) -> None:
        """Take every frame until the connection ends."""
        if self.socket:
            async for frame in self.socket.frames():
                self.take(frame, time.time())

    def take(self, frame: dict[str, Any], at: float) -> None:
        """Note what a frame says."""
        if frame["type"] == "reply.delta":
            self.texts.append(frame["text"])
            self.heard[frame["seq"]] = at
        elif frame["type"] == "message.created" and frame["message"]["role"] == "assistant":
            self.message_id, self.task_id = frame["message"]["id"], frame["message"]["task_id"]
        elif frame["type"] in ("reply.completed", "reply.failed", "reply.cancelled"):
            self.has_ended.set()


def streams(*, clients: int, streaming: int, seconds: int) -> dict[str, Any]:
    """
    Open that many chats on one web process, have that many answered at 20 tokens a second, and compare.

    Returns `delay_ms` (p50, p90, p99, max): from a chunk's commit, by PostgreSQL's clock, to its frame at the client,
    while all of them stream; the same for the whole run, in which all begin at once; and `lost`: how many clients did
    not hear exactly the stored text.
    """
    with throw_away_folder("streams") as folder:
        port = free_port()
        stack = Stack(folder, port=port, workers=1, AI_WORKER_THREADS=str(streaming + 8))
        try:
            stack.start()
            key = printed_key(stack.manage("welcome", "--url", stack.url))
            with psycopg.connect(stack.postgres.url()) as connection:
                connection.execute(UNLIMITED)
            return asyncio.run(_measure(stack, port, key, clients, streaming, seconds))
        finally:
            stack.stop()


async def _measure(stack: Stack, port: int, key: str, count: int, streaming: int, seconds: int) -> dict[str, Any]:
    ids = await asyncio.to_thread(_sessions, stack.url, key, count)
    clients = [Client(each) for each in ids]
    for place in range(0, count, OPENING_AT_ONCE):
        await asyncio.gather(*(each.open(port, key) for each in clients[place : place + OPENING_AT_ONCE]))
    listening = [asyncio.create_task(each.listen()) for each in clients]
    flushed: dict[tuple[str, int], float] = {}
    sampling = asyncio.create_task(_sample(stack.postgres.url(), flushed))
    script = {"output_tokens": seconds * TOKENS_PER_SECOND, "tokens_per_second": TOKENS_PER_SECOND, "latency_ms": 0}
    for each in clients[:streaming]:
        if each.socket:
            each.socket.send("message.send", content="Go on", client_id="1", simulate=script)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS + seconds):
            await asyncio.gather(*(each.has_ended.wait() for each in clients[:streaming]))
    finally:
        for job in (sampling, *listening):
            job.cancel()
        await asyncio.gather(sampling, *listening, return_exceptions=True)
        for each in clients:
            if each.socket:
                each.socket.close()
    return _summary(clients[:streaming], flushed, _stored(stack.postgres.url()), count)


async def _sample(url: str, flushed: dict[tuple[str, int], float]) -> None:
    """Note when chunks were committed, before they are folded."""
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        flushed.update(await asyncio.to_thread(_flushed, url))


def _flushed(url: str) -> dict[tuple[str, int], float]:
    with psycopg.connect(url) as connection:
        return {(str(task_id), seq): float(at) for task_id, seq, at in connection.execute(FLUSHED)}


def _stored(url: str) -> dict[str, str]:
    with psycopg.connect(url) as connection:
        return {str(message_id): content for message_id, content in connection.execute(STORED)}


def _sessions(url: str, key: str, count: int) -> list[str]:
    def make(number: int) -> str:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        body = json.dumps({"title": f"chat {number}"}).encode()
        request = urllib.request.Request(f"{url}/api/v1/chat/sessions", body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return str(json.load(answer)["id"])

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, range(count)))


def _summary(
    clients: list[Client], flushed: dict[tuple[str, int], float], stored: dict[str, str], count: int
) -> dict[str, Any]:
    told = [
        (flushed[each.task_id, seq], at)
        for each in clients
        for seq, at in each.heard.items()
        if (each.task_id, seq) in flushed
    ]
    began = max(min(each.heard.values()) for each in clients)
    ended = min(max(each.heard.values()) for each in clients)
    return {
        "clients": count,
        "streams": len(clients),
        "tokens_per_second": TOKENS_PER_SECOND,
        "frames": sum(len(each.heard) for each in clients),
        "lost": sum("".join(each.texts) != stored[each.message_id] for each in clients),
        "together_seconds": round(ended - began, 1),
        "delay_ms": _figures(at - commit for commit, at in told if began <= commit <= ended),
        "delay_ms_with_the_start": _figures(at - commit for commit, at in told),
    }


def _figures(delays: Iterable[float]) -> dict[str, float]:
    waits = [1000 * delay for delay in delays]
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    figures = {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": max(waits)}
    return {"measured": len(waits), **{name: round(value, 1) for name, value in figures.items()}}
