"""
Station 8, DELIVER: follow a task, for WebSocket, SSE, long-poll and every other reader alike.

Subscribe, read what is stored, then follow. Channel messages are hints: they make it fast. Beside them each process
re-reads everything that it watches every two seconds in one query, so that a lost hint only costs time.
"""

import asyncio
import logging
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from ai_tasks import events, process
from ai_tasks.chunks import Piece
from ai_tasks.models import AIGenerationTask, Chunk
from ai_tasks.representation import task_json
from ai_tasks.states import TERMINAL, ChunkKind

logger = logging.getLogger(__name__)

REREAD_SECONDS = 2.0
BACKLOG = 1_000
"""Hints kept for a slow reader; beyond it they are dropped, and it reads the database instead."""
LOOK: dict[str, Any] = {"name": "look"}
"""The hint that says only: read."""
THREADS = 8

P = ParamSpec("P")
T = TypeVar("T")

_executor = ThreadPoolExecutor(THREADS, thread_name_prefix="delivery")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run database code in one of a few threads and give its connection back."""

    def call() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            process.give_connection_back()

    return await asyncio.get_running_loop().run_in_executor(_executor, call)


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One thing to tell a reader."""

    name: str
    """`task.updated`, `task.delta` or `task.reset`."""
    data: dict[str, Any]
    seq: int | None = None


@dataclass(slots=True, eq=False)
class _Subscription:
    """One reader's place: hints wait here."""

    group: str
    seq: int = 0
    """How far its reader has told."""
    looked_at_seq: int = -1
    """How far that was when what is watched was looked at last."""
    hints: list[dict[str, Any]] = field(default_factory=list)
    has_news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, hint: dict[str, Any]) -> None:
        """Keep a hint; a reader that is too far behind is told to read the database instead."""
        if len(self.hints) < BACKLOG:
            self.hints.append(hint)
        else:
            self.hints[-1] = LOOK
        self.has_news.set()

    async def take(self) -> list[dict[str, Any]]:
        """Wait for hints and return them."""
        await self.has_news.wait()
        self.has_news.clear()
        taken, self.hints = self.hints, []
        return taken


class _Hub:
    """One per event loop: one channel for all readers of the process, and the re-reading beside it."""

    def __init__(self) -> None:
        self._readers: dict[str, set[_Subscription]] = defaultdict(set)
        self._seen: dict[str, Any] = {}
        self._channel = ""
        self._jobs: list[asyncio.Task[None]] = []
        self._opening = asyncio.Lock()

    async def subscribe(self, group: str) -> _Subscription:
        """Begin to receive a group's hints."""
        await self._open()
        subscription = _Subscription(group)
        is_first = not self._readers[group]
        self._readers[group].add(subscription)
        if is_first:
            await get_channel_layer().group_add(group, self._channel)
            # Each time: an in-memory layer forgets a day later who was there.
            await get_channel_layer().group_add(events.CHUNKS, self._channel)
        return subscription

    async def unsubscribe(self, subscription: _Subscription) -> None:
        """Receive no more."""
        readers = self._readers[subscription.group]
        readers.discard(subscription)
        if not readers:
            del self._readers[subscription.group]
            self._seen.pop(subscription.group, None)
            await get_channel_layer().group_discard(subscription.group, self._channel)
        if not self._readers:
            await get_channel_layer().group_discard(events.CHUNKS, self._channel)

    async def _open(self) -> None:
        async with self._opening:
            if self._jobs and not any(job.done() for job in self._jobs):
                return
            if not self._channel:
                self._channel = await get_channel_layer().new_channel("delivery")
            for job in self._jobs:
                job.cancel()
            self._jobs = [asyncio.create_task(self._receive()), asyncio.create_task(self._reread())]

    async def _receive(self) -> None:
        while True:
            try:
                message = await get_channel_layer().receive(self._channel)
            except Exception as error:
                logger.warning("The channel layer is away: %r", error)
                await asyncio.sleep(REREAD_SECONDS)
                continue
            self._hand_out(message.get("event") or {})

    def _hand_out(self, event: dict[str, Any]) -> None:
        for task_id, chunks in event.get("tasks", {}).items():
            for subscription in tuple(self._readers.get(events.group_for_task(task_id), ())):
                subscription.tell({"name": event["name"], "chunks": chunks})
        # One channel receives for all groups: a hint names those that it was for.
        for group in event.get("groups", []):
            for subscription in tuple(self._readers.get(group, ())):
                subscription.tell(event)

    async def _reread(self) -> None:
        """Look at everything watched, in one query, and wake the readers of what moved."""
        while True:
            await asyncio.sleep(REREAD_SECONDS)
            watched = [group for group in self._readers if group.startswith("task.")]
            if not watched:
                continue
            try:
                states = await in_thread(_states, [group.removeprefix("task.") for group in watched])
            except Exception as error:
                logger.warning("What is watched could not be read: %r", error)
                continue
            for task_id, state in states.items():
                self._compare(events.group_for_task(task_id), state)

    def _compare(self, group: str, state: tuple[Any, int]) -> None:
        """Wake whom hints do not reach: the task moved, or there is more than was told and no progress since last."""
        updated_at, newest = state
        has_moved = self._seen.get(group) != updated_at
        self._seen[group] = updated_at
        for subscription in tuple(self._readers.get(group, ())):
            is_stuck = newest > subscription.seq == subscription.looked_at_seq
            subscription.looked_at_seq = subscription.seq
            if has_moved or is_stuck:
                subscription.tell(LOOK)


def _states(task_ids: list[str]) -> dict[str, tuple[Any, int]]:
    rows = AIGenerationTask.objects.filter(pk__in=task_ids).values_list("pk", "updated_at")
    newest = Chunk.objects.newest(task_ids)
    return {str(pk): (updated_at, newest.get(pk, 0)) for pk, updated_at in rows}


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub]" = WeakKeyDictionary()


def _hub() -> _Hub:
    return _hubs.setdefault(asyncio.get_running_loop(), _Hub())


async def follow(task_id: UUID, after: int = 0) -> AsyncIterator[TaskEvent]:
    """
    Yield the task's state, every delta after `after`, and its moves as they come; return after the terminal state.

    Nothing is skipped or told twice, in whichever process it runs and whatever hints are lost.
    """
    hub = _hub()
    subscription = await hub.subscribe(events.group_for_task(task_id))
    subscription.seq = after
    reader = _Reader(task_id, after, subscription)
    try:
        async for event in reader.read():
            yield event
        while not reader.is_done:
            async for event in reader.answer(await subscription.take()):
                yield event
    finally:
        await hub.unsubscribe(subscription)


async def end_of(task_id: UUID) -> dict[str, Any]:
    """Wait for the task's end and return its state then; what it streams and its moves before are not read."""
    hub = _hub()
    subscription = await hub.subscribe(events.group_for_task(task_id))
    subscription.seq = sys.maxsize  # no chunk is news
    try:
        while (state := await in_thread(_load_ended, task_id)) is None:
            while not any(each is LOOK or each.get("status") in TERMINAL for each in await subscription.take()):
                pass
        return state
    finally:
        await hub.unsubscribe(subscription)


def _load_ended(task_id: UUID) -> dict[str, Any] | None:
    task = AIGenerationTask.objects.get(pk=task_id)
    return task_json(task) if task.status in TERMINAL else None


class _Reader:
    """How far one reader of one task is."""

    def __init__(self, task_id: UUID, after: int, subscription: _Subscription) -> None:
        self._task_id = task_id
        self._subscription = subscription
        self._seq = after
        self._told: dict[str, Any] | None = None
        self.is_done = False

    async def answer(self, hints: list[dict[str, Any]]) -> AsyncIterator[TaskEvent]:
        """Yield what the hints carry where they fit; else read."""
        for hint in hints:
            pieces = [Piece(*each) for each in hint.get("chunks", ())]
            fresh = [piece for piece in pieces if piece.seq > self._seq]
            if not pieces or (fresh and fresh[0].seq != self._seq + 1):
                async for event in self.read():
                    yield event
                return
            for piece in fresh:
                yield self._event(piece)

    async def read(self) -> AsyncIterator[TaskEvent]:
        """Yield the state when it changed, and the stored chunks in between: the terminal state comes last."""
        state, pieces = await in_thread(_load, self._task_id, self._seq)
        is_terminal = state["status"] in TERMINAL
        if not is_terminal and state != self._told:
            yield TaskEvent("task.updated", state)
        for piece in pieces:
            yield self._event(piece)
        if is_terminal:
            self.is_done = True
            yield TaskEvent("task.updated", state)
        self._told = state

    def _event(self, piece: Piece) -> TaskEvent:
        self._seq = self._subscription.seq = piece.seq
        base = {"task_id": str(self._task_id), "seq": piece.seq}
        if piece.kind == ChunkKind.RESET:
            return TaskEvent("task.reset", base | {"attempt": piece.epoch, "reason": piece.data}, piece.seq)
        if piece.kind == ChunkKind.TEXT:
            return TaskEvent("task.delta", base | {"text": piece.data}, piece.seq)
        if piece.kind == ChunkKind.REFUSAL:
            return TaskEvent("task.delta", base | {"text": piece.data, "kind": piece.kind}, piece.seq)
        # Only visible text is in `text`: all of them together are `output.text`.
        return TaskEvent("task.delta", base | {"text": "", "kind": piece.kind, "data": piece.data}, piece.seq)


def _load(task_id: UUID, after: int) -> tuple[dict[str, Any], list[Piece]]:
    """State first, chunks after: a terminal state that was read has all its chunks stored."""
    task = AIGenerationTask.objects.get(pk=task_id)
    return task_json(task), Chunk.objects.after(task_id, after)


async def feed(group: str) -> AsyncIterator[dict[str, Any]]:
    """Yield every event of a group as it comes, without end: hints only, for lists that are re-read anyway."""
    hub = _hub()
    subscription = await hub.subscribe(group)
    try:
        while True:
            for event in await subscription.take():
                yield event
    finally:
        await hub.unsubscribe(subscription)
