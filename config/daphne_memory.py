"""
Let neither a client that does not take nor one that sends much fill the memory: what daphne and Twisted leave open.

daphne 4.2 hands every frame and every piece of a response to Twisted at once, which keeps what the client does not take
in memory, without end. Made to wait, the application's own bounds hold: a WebSocket's send runs into its time-out, and
a stream of events reads no further than its reader.

Twisted reads the body of each form that is posted into memory and parses it, ten times its size, for a member that
daphne never looks at; and nobody has asked yet whether the client may send it. Django parses forms itself, from disk.
"""

import asyncio
from functools import partialmethod
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.server import Server

MOST_BYTES = 256 * 1024
"""So much may lie in a connection's buffer before its sender waits."""
POLL_SECONDS = 0.02
SENDS = ("websocket.send", "http.response.body")


def apply() -> None:
    """Make daphne's server wait, and its requests leave forms alone."""
    if hasattr(Server.handle_reply, "hurried"):
        return
    WebRequest.__init__ = partialmethod(WebRequest.__init__, parsePOSTFormSubmission=False)
    hurried = Server.handle_reply

    async def handle_reply(self: Server, protocol: Any, message: dict[str, Any]) -> None:
        while message.get("type") in SENDS and _is_connected(self, protocol) and _waiting_bytes(protocol) > MOST_BYTES:
            await asyncio.sleep(POLL_SECONDS)
        await hurried(self, protocol, message)

    handle_reply.hurried = hurried  # type: ignore[attr-defined]
    Server.handle_reply = handle_reply


def _is_connected(server: Server, protocol: Any) -> bool:
    return protocol in server.connections and not server.connections[protocol].get("disconnected")


def _waiting_bytes(protocol: Any) -> int:
    """Return the bytes that Twisted has not yet given to the socket (twisted.internet.abstract.FileDescriptor)."""
    transport = getattr(getattr(protocol, "channel", protocol), "transport", None)
    unsent = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    waiting: int = unsent + getattr(transport, "_tempDataLen", 0)
    return waiting
