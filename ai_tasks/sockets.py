"""What every WebSocket does with its frames."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ClassVar

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError

from ai_tasks.api import parsers
from ai_tasks.delivery import in_thread
from ai_tasks.errors import TaskError
from ai_tasks.handshake import Caller, is_welcome

logger = logging.getLogger(__name__)

NOT_AUTHENTICATED = 4401
POLICY_VIOLATION = 1008
TOO_BIG = 1009
TRY_AGAIN_LATER = 1013

MAX_FRAME_BYTES = 64 * 1024
FLOOD_FRAMES = 50
FLOOD_SECONDS = 5.0
SEND_SECONDS = 30.0
"""A client that takes nothing for so long is let go."""


class FrameError(Exception):
    """The frame cannot be served; the client is told, and the socket stays."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class _Bucket:
    """50 frames at once, 10 a second for long."""

    def __init__(self) -> None:
        self._tokens = float(FLOOD_FRAMES)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Is there room for one more frame?"""
        at = time.monotonic()
        self._tokens = min(FLOOD_FRAMES, self._tokens + (at - self._at) * FLOOD_FRAMES / FLOOD_SECONDS)
        self._at = at
        self._tokens -= 1
        return self._tokens >= 0


class JsonSocket(AsyncWebsocketConsumer):
    """
    A WebSocket whose frames are JSON objects with a `type`.

    A subclass names its scope, and in `frames` the coroutine methods that serve its types; they take the frame and may
    raise FrameError or TaskError. Bad frames are answered with `error{code, detail}`. Closed with 1009: frames over
    64 KiB; with 1008: more than 50 in 5 seconds; with 4401: nobody known, and within a minute revoked keys and users
    who were shut out. What runs beside the frames is started with `begin` and ends with the socket. A frame out waits
    until the client has taken the one before: nothing piles up here.
    """

    scope_wanted: ClassVar[str] = "tasks"
    frames: ClassVar[dict[str, str]] = {}
    recheck_seconds: ClassVar[float] = 60.0
    """How often to look whether the caller's key or account is still valid."""

    caller: Caller

    async def connect(self) -> None:
        """Let the caller in, or say why not."""
        self.jobs: dict[Any, asyncio.Task[None]] = {}
        self._bucket = _Bucket()
        self._sending = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self._is_over = False
        await self.accept()
        caller = self.scope.get("caller")
        if caller is None or self.scope_wanted not in caller.scopes:
            await self.close(NOT_AUTHENTICATED)
            return
        self.caller = caller
        self._watch = asyncio.create_task(self._recheck())
        await self.opened()

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(self.recheck_seconds)
            try:
                welcome = await in_thread(is_welcome, self.caller)
            except DatabaseError as error:
                logger.warning("A socket's caller could not be looked up: %r", error)
                continue
            if not welcome:
                await self.close(NOT_AUTHENTICATED)
                return

    async def opened(self) -> None:
        """Greet, load, begin; the caller is known."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Serve one frame."""
        if self._is_over:
            return
        if not self._bucket.take():
            await self.close(POLICY_VIOLATION)
        elif len(bytes_data or (text_data or "").encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
            await self.close(TOO_BIG)
        else:
            await self._serve(text_data)

    async def _serve(self, text: str | None) -> None:
        try:
            frame = frame_of(text)
            await self._handler_of(frame["type"])(frame)
        except (FrameError, TaskError) as error:
            await self.say("error", code=error.code, detail=error.detail)
        except Exception:
            logger.exception("A frame could not be served")
            await self.say("error", code="internal_error", detail="Something went wrong on our side.")

    def _handler_of(self, kind: str) -> Callable[[dict[str, Any]], Awaitable[None]]:
        if kind == "ping":
            return self._pong
        if kind not in self.frames:
            known = ", ".join(sorted([*self.frames, "ping"]))
            raise FrameError("invalid_input", f"Unknown type of frame. Known: {known}.")
        handler: Callable[[dict[str, Any]], Awaitable[None]] = getattr(self, self.frames[kind])
        return handler

    async def _pong(self, frame: dict[str, Any]) -> None:
        await self.say("pong")

    async def say(self, kind: str, /, **members: Any) -> None:
        """Send one frame; a client that does not take it in time is let go."""
        if self._is_over:
            return
        text = json.dumps({"type": kind, **members}, ensure_ascii=False)
        try:
            async with asyncio.timeout(SEND_SECONDS), self._sending:
                await self.send(text_data=text)
        except TimeoutError:
            await self.close(TRY_AGAIN_LATER)

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """End the socket, once; what still comes is not looked at."""
        if not self._is_over:
            self._is_over = True
            await super().close(code, reason)

    def begin(self, name: Any, job: Coroutine[Any, Any, None]) -> None:
        """Run a job beside the frames; one of the same name is ended first."""
        self.end(name)
        self.jobs[name] = asyncio.create_task(self._run(name, job))

    def end(self, name: Any) -> bool:
        """End a job; False: there was none."""
        job = self.jobs.pop(name, None)
        return job is not None and job.cancel()

    async def _run(self, name: Any, job: Coroutine[Any, Any, None]) -> None:
        try:
            await job
        except Exception:
            logger.exception("A socket's job failed")
            await self.say("error", code="internal_error", detail="Something went wrong on our side.")
        finally:
            if self.jobs.get(name) is asyncio.current_task():
                del self.jobs[name]

    async def disconnect(self, code: int) -> None:
        """End what runs beside the frames."""
        jobs = [*self.jobs.values(), *([self._watch] if self._watch else [])]
        self.jobs.clear()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


def frame_of(text: str | None) -> dict[str, Any]:
    """Return a client's frame; raises FrameError, or InvalidInput for what cannot be stored."""
    if text is None:
        raise FrameError("invalid_input", "Frames are text.")
    try:
        frame = parsers.load(text)
    except parsers.Malformed as error:
        raise FrameError("invalid_input", str(error).replace("body", "frame")) from error
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise FrameError("invalid_input", "A frame is a JSON object with a type.")
    return frame


class NotFoundSocket(AsyncWebsocketConsumer):
    """Where there is no socket: the handshake ends with 403."""

    async def connect(self) -> None:
        """Refuse."""
        await self.close()
