"""The WebSocket `/ws/tasks/`."""

from contextlib import aclosing
from typing import Any, ClassVar
from uuid import UUID

from ai_tasks import events
from ai_tasks.api.views import MAX_SEQ, find_own
from ai_tasks.delivery import feed, follow, in_thread
from ai_tasks.representation import task_json
from ai_tasks.sockets import FrameError, JsonSocket

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
        user_id = self.caller.user.pk
        async with aclosing(feed(events.group_for_user(user_id))) as told:  # type: ignore[type-var]
            async for event in told:
                if event.get("name") == "task.updated":
                    await self._tell_state(user_id, str(event.get("task_id")))

    async def _tell_state(self, user_id: int, task_id: str) -> None:
        task = await in_thread(_own_json, user_id, task_id)
        if task is not None:
            await self.say("task.updated", task_id=task_id, task=task)


def _own_json(user_id: int, task_id: str) -> Frame | None:
    task = find_own(user_id, task_id)
    return None if task is None else task_json(task)


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
