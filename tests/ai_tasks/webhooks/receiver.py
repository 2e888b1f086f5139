"""A receiver as somebody else would write it: a plain HTTP server, and the check of signatures as described."""

import base64
import hashlib
import hmac
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The body, read."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """What it was sent, and how it is to answer: `(status, headers, body)`, the last one for good."""

    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [(204, {}, b"")])
    holding: threading.Event = field(default_factory=threading.Event)
    """Clear: it keeps its answers back."""
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return the next answer."""
        self.holding.wait(20)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def serve(receiver: Receiver) -> ThreadingHTTPServer:
    """Start it in a thread; the caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        """Writes down and answers."""

        def do_POST(self) -> None:
            """Take one request."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            status, more, text = receiver.answer()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # whoever asks need not hear all of it
                self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port, receiver.holding = server.server_address[1], threading.Event()
    receiver.holding.set()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def is_signed(request: Received, secret: str, *, at: float | None = None) -> bool:
    """Verify a message as the specification tells receivers to: any of the signatures, five minutes of tolerance."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    timestamp = request.headers["webhook-timestamp"]
    if abs((time.time() if at is None else at) - int(timestamp)) > 300:
        return False
    signed = b".".join([request.headers["webhook-id"].encode(), timestamp.encode(), request.body])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [part.split(",", 1) for part in request.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(value, expected) for version, value in given)
