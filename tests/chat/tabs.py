"""Open tabs: sockets of the chat, spoken to over the whole ASGI application."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from ai_tasks.access import keys
from config.asgi import application
from tests.ai_tasks.threads import apart
from tests.realtime import check

SECONDS = 60


class Tab:
    """One open socket."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self.communicator = communicator
        self.frames: list[dict[str, Any]] = []

    async def say(self, kind: str, **members: Any) -> None:
        """Send a frame."""
        await self.communicator.send_to(json.dumps({"type": kind, **members}))

    async def next(self) -> dict[str, Any]:
        """Wait for a frame."""
        frame = check("chat", json.loads(await self.communicator.receive_from(SECONDS)))
        self.frames.append(frame)
        return frame

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait for the frame that is the `count`th of its type from here on."""
        while True:
            frame = await self.next()
            count -= frame["type"] == kind
            if not count:
                return frame

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the frames of that type so far."""
        return [frame for frame in self.frames if frame["type"] == kind]

    def text(self) -> str:
        """Return what the deltas say so far."""
        return "".join(frame["text"] for frame in self.of("reply.delta"))


@asynccontextmanager
async def tab(owner: User, session_id: Any, query: str = "") -> AsyncIterator[Tab]:
    """Open a socket as that user."""
    _, key = await apart(keys.create, owner, "test")
    headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {key}".encode())]
    communicator = WebsocketCommunicator(application, f"/ws/chat/{session_id}/{query}", headers=headers)
    accepted, _ = await communicator.connect(SECONDS)
    assert accepted
    try:
        yield Tab(communicator)
    finally:
        await communicator.disconnect(timeout=SECONDS)
