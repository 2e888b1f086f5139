"""What a socket tells of a reply: a task's events, translated into the chat's words."""

from typing import Any
from uuid import UUID

from ai_tasks import clock
from ai_tasks.delivery import TaskEvent
from ai_tasks.states import TERMINAL
from chat import usage
from chat.models import ChatMessage
from chat.replies import fallback_of, record
from chat.representation import message_json, used_json
from chat.states import MessageState
from chat.usage import TokenUsage

Frame = tuple[str, dict[str, Any]]
"""Its type and its members."""

ENDINGS = {
    MessageState.DONE: "reply.completed",
    MessageState.FAILED: "reply.failed",
    MessageState.CANCELLED: "reply.cancelled",
}


class ReplyFrames:
    """Translates the events of one reply's task, in order."""

    def __init__(self, message_id: UUID) -> None:
        self._about = {"message_id": str(message_id)}
        self._fallback: dict[str, str] | None = None
        self._told: Frame | None = None

    @property
    def is_queued(self) -> bool:
        """Was it waiting when last told of?"""
        return self._told is not None and self._told[0] == "reply.queued"

    def of(self, event: TaskEvent) -> list[Frame]:
        """Return what to send; the terminal state has none here, since `ending` must read the database for it."""
        if event.name == "task.delta":
            text = event.data["text"]
            return [("reply.delta", self._about | {"seq": event.seq, "text": text})] if text else []
        if event.name == "task.reset":
            return [("reply.reset", self._about | {"seq": event.seq, "reason": event.data["reason"]})]
        return [] if event.data["status"] in TERMINAL else self._moved(event.data)

    def _moved(self, task: dict[str, Any]) -> list[Frame]:
        frames = []
        fallback = fallback_of(task)
        if fallback and fallback != self._fallback:
            self._fallback = fallback
            frames.append(("reply.fallback", self._about | fallback))
        state = self._state(task)
        if state != self._told:
            self._told = state
            frames.append(state)
        return frames

    def _state(self, task: dict[str, Any]) -> Frame:
        if task["status"] == "processing":
            return "reply.started", self._about | {"provider": task["provider"], "model": task["model"]}
        waiting = task["waiting"] or {}
        members = {name: waiting.get(name) for name in ("position", "reason", "expected_start")}
        return "reply.queued", self._about | members


def ending(message_id: UUID) -> Frame | None:
    """Write the outcome of a reply's task to the reply and return what to tell; None: it is being written again."""
    message = ChatMessage.objects.select_related("session__owner").get(pk=message_id)
    record(message.task_id)
    message.refresh_from_db(fields=("state", "content", "error", "usage", "cost_usd", "answered_by", "fallback"))
    kind = ENDINGS.get(MessageState(message.state))
    if kind is None:
        return None
    members: dict[str, Any] = {"message_id": str(message_id), "message": message_json(message)}
    members["session"] = used_json(usage.of_sessions([message.session_id]).get(str(message.session_id), TokenUsage()))
    members["month"] = usage.month_json(message.session.owner, clock.now())
    if kind == "reply.completed":
        members |= {"usage": message.usage, "cost_usd": message.cost_usd or None}
    elif kind == "reply.failed":
        members |= {"error": message.error, "retryable": bool((message.error or {}).get("retryable"))}
    return kind, members
