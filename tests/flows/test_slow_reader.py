"""A client that takes nothing must not fill the server's memory, and still gets everything once it reads."""

import base64
import json
import os
import re
import socket
import struct
import time
from pathlib import Path

import pytest

from config.programs import Standalone
from tests.flows.client import Api, eventually

pytestmark = pytest.mark.stack

LENGTH = 900_000
TIMES = 45
MOST_GROWTH_BYTES = 20_000_000
"""Half of what lies ready for the client."""


class SlowReader:
    """A WebSocket of which nobody reads, with a small buffer at its end."""

    def __init__(self, api: Api, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(30)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws/tasks/ HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Authorization: Bearer {api.key}",
        ]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self._read(1)

    def say(self, **frame: str) -> None:
        """Send a frame."""
        data = json.dumps(frame).encode()
        assert len(data) < 126
        self.socket.sendall(bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data)

    def hear(self) -> dict[str, object]:
        """Read a frame."""
        size = self._read(2)[1] & 0x7F
        if size >= 126:
            size = struct.unpack("!H" if size == 126 else "!Q", self._read(2 if size == 126 else 8))[0]
        frame: dict[str, object] = json.loads(self._read(size))
        return frame

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            got = self.socket.recv(min(1 << 20, count - len(data)))
            assert got, "the server hung up"
            data += got
        return data


def resident_bytes(server: Standalone) -> int:
    assert server.process
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return 1024 * int(found[1])


def test_a_client_that_takes_nothing_does_not_fill_the_servers_memory(tmp_path: Path) -> None:
    server = Standalone(tmp_path)
    server.start()
    api = Api(server.url, server.api_key)
    task = api.submit("long", wait=60, text="x" * LENGTH, tokens_per_second=0, latency_ms=0)
    assert task["status"] == "completed"
    reader = SlowReader(api, server.port)
    before = resident_bytes(server)

    for _ in range(TIMES):
        reader.say(type="subscribe", task_id=task["id"])
        time.sleep(0.1)  # the flood's bound: it is not to be tested here
    grown = resident_bytes(server) - before
    reader.say(type="ping")
    frames = []
    eventually(lambda: frames.append(reader.hear()) or frames[-1]["type"] == "pong", "it is answered")

    assert grown < MOST_GROWTH_BYTES
    assert {"task.delta", "task.updated"} <= {frame["type"] for frame in frames}
    reader.socket.close()
    assert server.stop() == 0
