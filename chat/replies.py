"""The task type `chat.reply`: the prompt is the conversation up to the reply, the result becomes the reply's text."""

from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from ai_tasks import chunks
from ai_tasks.errors import InvalidInput
from ai_tasks.models import AIGenerationTask
from ai_tasks.models_on_offer import takes_pictures
from ai_tasks.representation import task_json
from ai_tasks.states import ACTIVE, TaskStatus
from ai_tasks.task_types.base import Image, Message, Part, Prompt, TaskLike, TaskType
from chat import attachments, context, titles, usage
from chat.models import ChatMessage, ChatSession
from chat.states import AttachmentKind, MessageState

MOST_TURNS = 500
"""Turns that are looked at for a prompt: the newest, and the first."""
MOST_PICTURES = 10
"""Of the pictures of a conversation a prompt has the newest; of the others it says that they were there."""
TOLD = (MessageState.DONE, MessageState.CANCELLED)
"""What a model is told of: also what it said before it was stopped, since the reader goes on from there."""

UUID_PATTERN = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "session_id": {"type": "string", "pattern": UUID_PATTERN},
        "message_id": {"type": "string", "pattern": UUID_PATTERN, "description": "The reply that is to be written."},
        "simulate": {"type": "object", "description": "Script for the simulator; other providers never see it."},
    },
    "required": ["session_id", "message_id"],
    "additionalProperties": False,
}
MESSAGE_STATES = {
    TaskStatus.COMPLETED: MessageState.DONE,
    TaskStatus.FAILED: MessageState.FAILED,
    TaskStatus.TIMED_OUT: MessageState.FAILED,
    TaskStatus.CANCELLED: MessageState.CANCELLED,
}


def build(task: TaskLike) -> Prompt:
    """Return the prompt of a reply: the system prompt, then of the turns that lead to it what fits the model."""
    session_id, message_id = task.input["session_id"], task.input["message_id"]
    session = ChatSession.objects.filter(pk=session_id, owner=task.owner_id).first()
    reply = ChatMessage.objects.filter(pk=message_id, session=session_id).first()
    if session is None or reply is None:
        raise InvalidInput("The conversation of this reply is gone.")
    instructions = [Message("system", session.system_prompt)] if session.system_prompt else []
    model = task.requested_model
    return Prompt(
        messages=tuple(context.fitting(instructions, _turns(session, reply, model), context.room_tokens(model))),
        max_output_tokens=context.output_tokens(model),
        options={"simulate": task.input.get("simulate", {})},
    )


def _turns(session: ChatSession, reply: ChatMessage, model: str) -> list[Message]:
    """Return the turns before the reply, oldest first."""
    path = list(_ancestors(session, reply))
    ids = path[: MOST_TURNS - 1] + path[-1:]
    for earlier in ChatMessage.objects.filter(pk__in=ids).pending():
        record(earlier.task_id)  # its task has ended, or this one would not run: its hook is only late
    told = ChatMessage.objects.filter(pk__in=ids, state__in=TOLD).order_by("number")
    said = [message for message in told if message.content or message.attachments]
    files = _Files(session, said, has_pictures=takes_pictures(model))
    return [Message(message.role, files.with_text(message)) for message in said]


class _Files:
    """What a conversation's attachments are in a prompt: texts fenced, the newest pictures as they are."""

    def __init__(self, session: ChatSession, turns: list[ChatMessage], *, has_pictures: bool) -> None:
        named = [file for message in turns for file in message.attachments]
        pictures = [file["id"] for file in named if file["kind"] == AttachmentKind.IMAGE]
        wanted = {file["id"] for file in named} - {*pictures}
        wanted |= {*pictures[-MOST_PICTURES:]} if has_pictures else set()
        self._kept = {str(pk): file for pk, file in session.attachments.in_bulk(list(wanted)).items()}

    def with_text(self, message: ChatMessage) -> str | tuple[Part, ...]:
        """Return the files of a message and what it says."""
        if not message.attachments:
            return message.content
        return (*(self._part(file) for file in message.attachments), message.content)

    def _part(self, told: dict[str, Any]) -> Part:
        file = self._kept.get(told["id"])
        if file is None:
            return f"[{told['kind']} {told['name']}: not shown here]\n\n"
        if file.kind == AttachmentKind.TEXT:
            return attachments.fenced(file.name, bytes(file.data).decode("utf-8-sig"))
        return Image(file.media_type, b64encode(file.data).decode())


def _ancestors(session: ChatSession, reply: ChatMessage) -> Iterator[UUID]:
    """Yield the ids of the messages that lead to the reply, newest first; parents always have smaller numbers."""
    earlier = session.messages.filter(number__lt=reply.number)
    parents = dict(earlier.values_list("pk", "parent_id"))
    ancestor = reply.parent_id
    while ancestor in parents:
        yield ancestor
        ancestor = parents[ancestor]


def record(task_id: UUID | None) -> bool:
    """
    Copy a task's outcome to its message; True when the message is what the task says.

    Idempotent, and right in any order: it copies what the task is now. An active task makes the message pending.
    """
    task = AIGenerationTask.objects.filter(pk=task_id, type=usage.TASK_TYPE).first()
    if task is None:
        return False
    values = {"state": MessageState.PENDING} if task.status in ACTIVE else _outcome(task)
    return bool(ChatMessage.objects.filter(task_id=task_id).update(**values))


def _outcome(task: AIGenerationTask) -> dict[str, Any]:
    """Return the columns of an ended task's message; what was streamed before a failure or a stop is kept."""
    shown = task_json(task)
    if shown["output"] is not None:
        text = shown["output"].get("text", "")
    else:
        text = "".join(piece.data for piece in chunks.current(task))
    return {
        "state": MESSAGE_STATES[TaskStatus(task.status)],
        "content": text,
        "error": shown["error"],
        "usage": shown["usage"],
        "cost_usd": shown["cost_usd"] or "",
        "answered_by": f"{task.provider}/{task.model}"[:160],
        "fallback": fallback_of(shown),
    }


def fallback_of(task: dict[str, Any]) -> dict[str, str] | None:
    """Return `{"from", "to", "reason"}` when another place had the task before its present one; of its JSON."""
    present = (task["provider"], task["model"])
    left = [(each["number"], each, each["error"]["code"]) for each in task["attempts"] if each["error"]]
    left += [(each["after_attempt"], each, each["reason"]) for each in task["skipped"] if "after_attempt" in each]
    for _, place, reason in reversed(sorted(left, key=itemgetter(0))):  # noqa: C413 (of equals, the last)
        if (place["provider"], place["model"]) != present:
            return {"from": f"{place['provider']}/{place['model']}", "to": "/".join(present), "reason": reason}
    return None


def on_finished(task_id: UUID) -> None:
    """Write the reply of a task that ended, and have its session named. At least once, after the settling one."""
    record(task_id)
    titles.ask_after(ChatMessage.objects.filter(task_id=task_id).first())


CHAT_REPLY = TaskType(
    name=usage.TASK_TYPE,
    input_schema=INPUT_SCHEMA,
    build=build,
    is_public=False,
    deadline=timedelta(hours=1),
    on_finished=on_finished,
)
