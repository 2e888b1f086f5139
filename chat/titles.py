"""The task type `chat.title`: a chat without a name of its own gets one after its first reply, when there is time."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from ai_tasks import submission
from ai_tasks.errors import InvalidInput, TaskError
from ai_tasks.models import AIGenerationTask
from ai_tasks.states import TaskStatus
from ai_tasks.submission import TaskRequest
from ai_tasks.task_types.base import Message, Priority, Prompt, TaskLike, TaskType
from chat import news, usage
from chat.models import ChatMessage, ChatSession
from chat.states import MessageRole, MessageState

LONGEST = 80
LONGEST_FROM_MESSAGE = 60
EXCERPT = 2_000
"""Characters of the question, and of the answer, that the model sees."""
MOST_OUTPUT_TOKENS = 60
INSTRUCTIONS = (
    "Name this conversation in at most six words, in its own language. "
    "Answer with the name alone: no quotes, no full stop, no Markdown."
)
MARKS = re.compile(r"^[\s#*\"'`“”「『]+|[\s*\"'`“”」』.。]+$")

INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"session_id": {"type": "string"}, "instead_of": {"type": "string"}},
    "required": ["session_id", "instead_of"],
    "additionalProperties": False,
}


def first_line(content: str) -> str:
    """Return what names a chat until it has a better name."""
    return content.strip().splitlines()[0].strip()[:LONGEST_FROM_MESSAGE]


def ask_after(reply: ChatMessage | None) -> AIGenerationTask | None:
    """
    Submit the task that names the reply's session, and return it; None where it is not wanted.

    It is, once, after the first reply, while the session bears its question's first line. A full queue or an empty
    purse is no reason to complain: then it keeps that.
    """
    if not settings.AI_CHAT_TITLES or reply is None or reply.number != 2 or reply.state != MessageState.DONE:
        return None
    with transaction.atomic():
        session = ChatSession.objects.select_for_update().get(pk=reply.session_id)
        question = session.messages.filter(number=1, role=MessageRole.USER).first()
        if question is None or session.title != first_line(question.content) or _tasks(session).exists():
            return None
        return _submit(session)


def _tasks(session: ChatSession) -> Any:
    return AIGenerationTask.objects.related_to(usage.RELATED_TYPE, str(session.pk)).of_type(usage.TITLE_TYPE)


def _submit(session: ChatSession) -> AIGenerationTask | None:
    request = TaskRequest(
        type=usage.TITLE_TYPE,
        input={"session_id": str(session.pk), "instead_of": session.title},
        model=session.model,
        related=(usage.RELATED_TYPE, str(session.pk)),
    )
    try:
        with transaction.atomic():
            return submission.submit(session.owner, request)
    except TaskError:
        return None


def build(task: TaskLike) -> Prompt:
    """Return the prompt: the first question and its answer, shortened. The simulator has no better idea than ours."""
    session = ChatSession.objects.for_user(task.owner_id).filter(pk=task.input["session_id"]).first()
    if session is None:
        raise InvalidInput("The conversation to be named is gone.")
    said = session.messages.filter(number__lte=2).order_by("number")
    excerpt = "\n\n".join(message.content[:EXCERPT] for message in said)
    return Prompt(
        messages=(Message("system", INSTRUCTIONS), Message("user", excerpt)),
        max_output_tokens=MOST_OUTPUT_TOKENS,
        options={"simulate": {"text": task.input["instead_of"]}},
    )


def on_finished(task_id: UUID) -> None:
    """Give the session its name, unless somebody gave it one meanwhile."""
    task = AIGenerationTask.objects.get(pk=task_id)
    title = cleaned((task.output or {}).get("text", "")) if task.status == TaskStatus.COMPLETED else ""
    session = ChatSession.objects.filter(pk=task.input["session_id"], title=task.input["instead_of"])
    if title and session.update(title=title):
        news.tell_of_session(ChatSession.objects.get(pk=task.input["session_id"]))


def cleaned(text: str) -> str:
    """Return a model's answer as a name: its first line, without marks around it."""
    lines = text.strip().splitlines() or [""]
    return MARKS.sub("", lines[0])[:LONGEST].strip()


CHAT_TITLE = TaskType(
    name=usage.TITLE_TYPE,
    input_schema=INPUT_SCHEMA,
    build=build,
    is_public=False,
    priority=Priority.LOW,
    deadline=timedelta(hours=1),
    max_tries=2,
    on_finished=on_finished,
)
