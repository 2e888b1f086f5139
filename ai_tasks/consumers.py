"""The WebSocket `/ws/tasks/`."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, ClassVar
from uuid import UUID

from django.db import DatabaseError

from ai_tasks import events
from ai_tasks.api.views import MAX_SEQ, find_own
from ai_tasks.delivery import feed, follow, in_thread
from ai_tasks.representation import Json
from ai_tasks.sockets import FrameError, JsonSocket
from ai_tasks.watch import Watch

logger = logging.getLogger(__name__)

MAX_SUBSCRIPTIONS = 100
MINE = "mine"

Frame = dict[str, Any]


class TaskSocket(JsonSocket):
    """
    Follows tasks: `subscribe{task_id, after?}` one of them, `subscribe{mine: true}` the moves of all of the caller's.

    Sends `task.updated{task_id, task}`, `task.delta{task_id, seq, text}`, `task.reset{task_id, seq, attempt, reason}`.
    A subscription ends with its task's terminal `task.updated`, or by `unsubscribe` with the same members.
    """

    scope_wanted = "tasks"
    frames: ClassVar[dict[str, str]] = {"subscribe": "subscribe", "unsubscribe": "unsubscribe"}
    look_seconds: ClassVar[float] = 5.0
    """How often to look for moves of the caller's tasks that no hint told of."""

    async def subscribe(self, frame: Frame) -> None:
        """Begin to follow; a second subscription to the same task begins anew."""
        place = _place(frame, {"type", "task_id", "after", "mine"})
        if place not in self.jobs and len(self.jobs) >= MAX_SUBSCRIPTIONS:
            raise FrameError("rate_limited", f"At most {MAX_SUBSCRIPTIONS} subscriptions at once.")
        if place == MINE:
            self.begin(MINE, self._tell_mine())
            return
        after = _after(frame)
        task = await in_thread(find_own, self.caller.user.pk, place)
        if task is None:
            raise FrameError("not_found", "There is no such task.")
        self.begin(place, self._tell(task.pk, after))

    async def unsubscribe(self, frame: Frame) -> None:
        """Follow no more; to have followed is not asked."""
        self.end(_place(frame, {"type", "task_id", "mine"}))

    async def _tell(self, task_id: UUID, after: int) -> None:
        async with aclosing(follow(task_id, after)) as told:  # type: ignore[type-var]
            async for event in told:
                members = {"task": event.data} if event.name == "task.updated" else event.data
                await self.say(event.name, **{"task_id": str(task_id), **members})

    async def _tell_mine(self) -> None:
        """Tell of what hints name at once, and look every few seconds for what they did not."""
        telling = asyncio.Lock()
        async with asyncio.TaskGroup() as jobs:
            watch = await in_thread(Watch, self.caller.user.pk)
            jobs.create_task(self._hear(watch, telling))
            jobs.create_task(self._look(watch, telling))

    async def _hear(self, watch: Watch, telling: asyncio.Lock) -> None:
        async with aclosing(feed(events.group_for_user(self.caller.user.pk))) as told:  # type: ignore[type-var]
            async for event in told:
                if event.get("name") == "task.updated":
                    await self._tell_moved(telling, watch.moved, [UUID(event["task_id"])])

    async def _look(self, watch: Watch, telling: asyncio.Lock) -> None:
        while True:
            await self._tell_moved(telling, watch.look)
            await asyncio.sleep(self.look_seconds)

    async def _tell_moved(self, telling: asyncio.Lock, look: Callable[..., list[Json]], *arguments: Any) -> None:
        async with telling:
            try:
                moved = await in_thread(look, *arguments)
            except DatabaseError as error:
                logger.warning("A user's tasks could not be read: %r", error)
                return
            for task in moved:
                await self.say("task.updated", task_id=task["id"], task=task)


def _place(frame: Frame, known: set[str]) -> str:
    """Return what the frame is about: a task's id in lower case, or `mine`."""
    if unknown := sorted(set(frame) - known):
        raise FrameError("invalid_input", f"Unknown members: {', '.join(unknown)[:200]}.")
    task_id, mine = frame.get("task_id"), frame.get("mine")
    if mine is True and "task_id" not in frame and "after" not in frame:
        return MINE
    if isinstance(task_id, str) and "mine" not in frame:
        return task_id.lower()
    raise FrameError("invalid_input", "Give either task_id, a string, or mine: true.")


def _after(frame: Frame) -> int:
    after = frame.get("after", 0)
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= MAX_SEQ:
        raise FrameError("invalid_input", "after must be a seq.")
    return after
