"""Tell a page how a reply looks while it is being written: as often as is worth it, and never more than it takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ai_tasks.delivery import in_thread
from chat.growing import Growing, Growth

SHORTEST_SECONDS = 0.1
"""Between two pictures; so often a reader sees it grow."""
REST = 20
"""So many times the cost of a picture is waited: painting takes at most a twentieth of a core for each reader."""
CHARACTERS_PER_SECOND = 40_000
"""Of a block that is sent again and again while it is open."""

Tell = Callable[..., Awaitable[None]]


class Painter:
    """Paints one reply: `see` takes what is told of it, `run` sends `reply.html{message_id, seq, keep, html}`."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._news = asyncio.Event()
        self._growing = Growing()
        self._text: list[str] = []
        self._about: dict[str, Any] = {}

    def see(self, kind: str, members: dict[str, Any]) -> None:
        """Take a frame about the reply."""
        if kind == "reply.delta":
            self._text.append(members["text"])
        elif kind == "reply.reset":
            self._growing, self._text = Growing(), []
        else:
            return
        self._about = {name: members[name] for name in ("message_id", "seq")}
        self._news.set()

    async def run(self) -> None:
        """Paint until cancelled. What was reset meanwhile is not shown."""
        while True:
            await self._news.wait()
            self._news.clear()
            growing, text, about = self._growing, "".join(self._text), self._about
            self._text = []
            growth, took_seconds = await in_thread(_paint, growing, text)
            if growing is self._growing:
                await self._tell("reply.html", **about, keep=growth.keep, html=growth.html)
            await asyncio.sleep(max(SHORTEST_SECONDS, REST * took_seconds, len(growth.html) / CHARACTERS_PER_SECOND))


def _paint(growing: Growing, text: str) -> tuple[Growth, float]:
    began = time.thread_time()
    growing.add(text)
    return growing.take(), time.thread_time() - began
