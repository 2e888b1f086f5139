"""Talks through a WebSocket as a client would."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from ai_tasks import submission
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest
from config.asgi import application
from tests.realtime import check

HOST = [(b"host", b"testserver")]
TEXT = "The Shinano is the longest river of Japan."
SECONDS = 60


def submit(owner: User, **options: Any) -> AIGenerationTask:
    simulate = {"text": TEXT, "latency_ms": 0, "tokens_per_second": 100}
    return submission.submit(
        owner, TaskRequest(type="text.generate", input={"prompt": "a", "simulate": simulate}, **options)
    )


@asynccontextmanager
async def socket(headers: list[tuple[bytes, bytes]], path: str = "/ws/tasks/") -> AsyncIterator[WebsocketCommunicator]:
    communicator = WebsocketCommunicator(application, path, headers=HOST + headers)
    accepted, _ = await communicator.connect(SECONDS)
    assert accepted
    try:
        yield communicator
    finally:
        await communicator.disconnect(timeout=SECONDS)


async def hear(communicator: WebsocketCommunicator) -> dict[str, Any]:
    return check("tasks", json.loads(await communicator.receive_from(SECONDS)))


async def hear_until(
    communicator: WebsocketCommunicator, is_last: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    frames = [await hear(communicator)]
    while not is_last(frames[-1]):
        frames.append(await hear(communicator))
    return frames


def has_ended(frame: dict[str, Any]) -> bool:
    return bool(frame["type"] == "task.updated" and frame["task"]["status"] == "completed")


async def closing_code(communicator: WebsocketCommunicator) -> int:
    while True:
        message = await communicator.receive_output(SECONDS)
        if message["type"] == "websocket.close":
            return int(message["code"])


async def is_refused(headers: list[tuple[bytes, bytes]], path: str = "/ws/tasks/") -> bool:
    communicator = WebsocketCommunicator(application, path, headers=headers)
    accepted, _ = await communicator.connect(SECONDS)
    await communicator.disconnect(timeout=SECONDS)
    return accepted is False
