"""A WebSocket client for measurements (RFC 6455): text frames out and in, nothing else."""

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator
from typing import Any

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class WebSocket:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, path: str, key: str) -> "WebSocket":
        """Connect to this machine with an API key; raises ConnectionError when the handshake is refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            f"Authorization: Bearer {key}",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.decode("latin-1").splitlines()[0])
        return cls(reader, writer)

    def send(self, kind: str, **members: Any) -> None:
        """Send one frame."""
        self._write(TEXT, json.dumps({"type": kind, **members}).encode())

    def _write(self, opcode: int, data: bytes) -> None:
        mask = os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        self._writer.write(bytes([0x80 | opcode]) + size + mask + masked)

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what comes, until the server closes."""
        while True:
            opcode, data = await self._read()
            if opcode == CLOSE:
                return
            if opcode == PING:
                self._write(PONG, data)
            elif opcode == TEXT:
                yield json.loads(data)

    async def _read(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            [size] = struct.unpack("!H", await self._reader.readexactly(2))
        elif size == 127:
            [size] = struct.unpack("!Q", await self._reader.readexactly(8))
        return first & 0x0F, await self._reader.readexactly(size)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
