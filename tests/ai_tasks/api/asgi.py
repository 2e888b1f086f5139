"""Talks to the whole ASGI application as a server would."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgiref import testing

from config.asgi import application

SECONDS = 60
Communicator: Any = testing.ApplicationCommunicator


class Exchange:
    """One request on its way."""

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator
        self._rest = ""
        self.status = 0
        self.headers: dict[str, str] = {}

    async def begin(self) -> None:
        """Wait for status and headers."""
        start = await self._communicator.receive_output(SECONDS)
        self.status = start["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}

    async def body(self) -> bytes:
        """Wait for the whole body."""
        body: bytes = b""
        while True:
            message = await self._communicator.receive_output(SECONDS)
            body += message.get("body", b"")
            if not message.get("more_body"):
                return body

    async def json(self) -> Any:
        """Wait for the body and return what it says."""
        return json.loads(await self.body())

    async def frames(self) -> AsyncIterator[dict[str, str]]:
        """Yield server-sent events as they come, each as its fields, to the end of the stream."""
        while True:
            message = await self._communicator.receive_output(SECONDS)
            self._rest += message.get("body", b"").decode()
            while "\n\n" in self._rest:
                frame, _, self._rest = self._rest.partition("\n\n")
                yield dict(_field(line) for line in frame.split("\n"))
            if not message.get("more_body"):
                return


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name or "comment", value


@asynccontextmanager
async def exchange(
    method: str, path: str, headers: dict[str, str], body: Any = None, query: str = ""
) -> AsyncIterator[Exchange]:
    """Send a request; on leaving, the client is gone and the application has ended."""
    content = b"" if body is None else json.dumps(body).encode()
    given = headers | {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(content))}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("localhost", 80),
    }
    communicator = Communicator(application, scope)
    await communicator.send_input({"type": "http.request", "body": content, "more_body": False})
    try:
        sent = Exchange(communicator)
        await sent.begin()
        yield sent
    finally:
        await communicator.send_input({"type": "http.disconnect"})
        await communicator.wait(SECONDS)
