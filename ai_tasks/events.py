"""
Station 7, PUBLISH: tell whoever watches that a task moved, after the commit. A hint, never the record.

Groups: `task.<id>` (its moves), `chunks` (what all tasks stream, flush by flush), `user.<id>` (its moves),
`rel.<digest>` (of a related entity), and `operations` (what operators want to know: budgets, circuits).
Messages are `{"type": "tasuki.event", "event": {...}}` with `event["name"]` among `task.updated`, `task.chunks` and
what other apps send to related groups.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from hashlib import sha256
from typing import Any
from uuid import UUID

from channels.layers import InMemoryChannelLayer, get_channel_layer

from ai_tasks.states import TERMINAL

logger = logging.getLogger(__name__)

MESSAGE_TYPE = "tasuki.event"
CHUNKS = "chunks"
"""The group of all web processes: one message a flush costs less than one for each of its tasks, watched or not."""
OPERATIONS = "operations"
"""The operators' group."""
MAX_PENDING = 5_000
"""Sends that may be on their way at once; beyond it hints are dropped, and readers look for themselves."""


def group_for_task(task_id: UUID | str) -> str:
    """Return the group of one task."""
    return f"task.{task_id}"


def group_for_user(user_id: int) -> str:
    """Return the group of everything of one user."""
    return f"user.{user_id}"


def group_for_related(owner_id: int, related_type: str, related_id: str) -> str:
    """Return the group of a related entity: a digest, so that a name cannot reach somebody else's group."""
    digest = sha256(f"{owner_id}\x00{related_type}\x00{related_id}".encode("utf-8", "replace")).hexdigest()
    return f"rel.{digest[:32]}"


YIELD_SECONDS = 0.01
"""How long the word of a task's move, but for its end, waits for the thread that moved it: it is to admit or call."""


class _Publisher:
    """Sends to channel groups from any thread through one event loop of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._pending = 0

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send through this running loop from now on."""
        with self._lock:
            self._loop, self._pid = loop, os.getpid()

    def loop(self) -> asyncio.AbstractEventLoop | None:
        """
        Return the loop to send through, started when need be.

        An in-memory layer lives on its readers' loop: without one there is nobody to tell.
        """
        with self._lock:
            if self._loop is not None and self._pid == os.getpid() and not self._loop.is_closed():
                return self._loop
            if isinstance(get_channel_layer(), InMemoryChannelLayer):
                return None
            self._loop, self._pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=self._loop.run_forever, name="events", daemon=True).start()
            return self._loop

    def send(self, groups: Sequence[str], event: Mapping[str, Any], *, after_seconds: float = 0.0) -> None:
        """Send without waiting; drop when too many are on their way."""
        loop = self.loop()
        if loop is None or self._pending >= MAX_PENDING:
            return
        with self._lock:
            self._pending += 1
        future = asyncio.run_coroutine_threadsafe(self._send(groups, event, after_seconds), loop)
        future.add_done_callback(self._done)

    async def _send(self, groups: Sequence[str], event: Mapping[str, Any], after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        layer = get_channel_layer()
        for group in groups:
            # One channel of a process receives for all its readers, so the message says which group it was for.
            await layer.group_send(group, {"type": MESSAGE_TYPE, "event": {**event, "groups": [group]}})

    def _done(self, future: "Future[None]") -> None:
        with self._lock:
            self._pending -= 1
        if not future.cancelled() and (error := future.exception()):
            logger.warning("An event was not sent: %r", error)


_publisher = _Publisher()


def use_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Send through the web server's loop: needed where the channel layer is in memory."""
    if isinstance(get_channel_layer(), InMemoryChannelLayer):
        _publisher.use_loop(loop)


def send(group: str, event: Mapping[str, Any]) -> None:
    """Send one event to one group, from any thread, without waiting for it. Call it after the commit."""
    _publisher.send([group], event)


def send_task_updated(*, task_id: UUID, owner_id: int, related_type: str, related_id: str, status: str) -> None:
    """Tell that a task moved."""
    groups = [group_for_task(task_id), group_for_user(owner_id)]
    if related_type:
        groups.append(group_for_related(owner_id, related_type, related_id))
    event = {"name": "task.updated", "task_id": str(task_id), "status": status}
    _publisher.send(groups, event, after_seconds=0.0 if status in TERMINAL else YIELD_SECONDS)


def send_chunks(task_id: UUID, chunks: Sequence[tuple[int, int, str, str]]) -> None:
    """Tell of a task's durable chunks, each (seq, epoch, kind, data), in order."""
    send_flush([(task_id, chunks)])


def send_flush(flushed: Iterable[tuple[UUID, Sequence[tuple[int, int, str, str]]]]) -> None:
    """Tell of the durable chunks of several tasks."""
    if tasks := {str(task_id): list(chunks) for task_id, chunks in flushed}:
        _publisher.send([CHUNKS], {"name": "task.chunks", "tasks": tasks})
