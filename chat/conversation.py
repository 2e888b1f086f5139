"""What people wish of a chat, one function each. Who may do it is for the caller to ask, through `for_user`."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from ai_tasks import clock, submission
from ai_tasks.errors import InvalidInput, Mistake, NotPossible
from ai_tasks.models import AIGenerationTask
from ai_tasks.models_on_offer import require_model
from ai_tasks.states import TERMINAL
from ai_tasks.submission import TaskRequest
from chat import attaching, news, replies, titles, usage
from chat.errors import SessionExists
from chat.models import ChatMessage, ChatSession
from chat.states import MessageRole, MessageState, SessionState

LONGEST_MESSAGE = 100_000
"""Characters of one message."""
IDLE_FOR = timedelta(days=30)
"""After so long without a message a session is closed; a new message reopens it."""
BATCH = 500
FORGOTTEN_AT_ONCE = 100
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates: PostgreSQL stores neither."""


def start_session(
    owner: User,
    *,
    title: str = "",
    item: tuple[str, str] = ("", ""),
    system_prompt: str = "",
    model: str = "default",
    now: datetime | None = None,
) -> ChatSession:
    """Make a session and return it; raises UnknownModel, and SessionExists where the item has an active one."""
    require_model(model)
    now = now or clock.now()
    session = ChatSession(
        owner=owner,
        title=title,
        item_type=item[0],
        item_id=item[1],
        system_prompt=system_prompt,
        model=model,
        created_at=now,
        last_activity_at=now,
    )
    return ChatSession.objects.save(session)


@transaction.atomic
def send_message(
    session: ChatSession,
    content: str,
    *,
    client_id: str = "",
    model: str = "",
    after: ChatMessage | None = None,
    attachments: Sequence[UUID] = (),
    simulate: dict[str, Any] | None = None,
    api_key_id: int | None = None,
    now: datetime | None = None,
) -> tuple[ChatMessage, ChatMessage]:
    """
    Write a message and its pending reply, submit the reply's task, and return both; all or nothing.

    It follows `after`, or the newest message; `attachments` are ids of the session's files. A `client_id` that was
    sent before returns what it made then. Raises InvalidInput, SessionClosed,
    UnknownModel, BudgetExceeded and QueueFull.
    """
    now = now or clock.now()
    _check(content, needs_text=not attachments)
    files = attaching.take(session, attachments, model=model or session.model, now=now) if attachments else []
    message = ChatSession.objects.add_message(
        session, MessageRole.USER, content, client_id=client_id, after=after, attachments=files, now=now
    )
    if reply := message.children.order_by("number").first():
        return message, reply
    _name_after(session, content if content.strip() else files[0]["name"])
    return message, _ask(session, message, model=model, simulate=simulate, api_key_id=api_key_id, now=now)


def stop_reply(reply: ChatMessage, *, now: datetime | None = None) -> ChatMessage:
    """Stop the writing of a reply and return it fresh; what came so far stays. Idempotent."""
    task = _task_of(reply)
    if submission.cancel(task, now=now).status in TERMINAL:
        replies.record(task.pk)
    reply.refresh_from_db()
    return reply


@transaction.atomic
def regenerate(
    reply: ChatMessage, *, model: str = "", api_key_id: int | None = None, now: datetime | None = None
) -> ChatMessage:
    """Ask again for a reply and return the new version beside it; raises NotPossible while it is being written."""
    now = now or clock.now()
    if reply.role != MessageRole.ASSISTANT or reply.parent is None:
        raise NotPossible("Only a reply can be written again.")
    if is_being_written(reply):
        raise NotPossible("This reply is still being written; stop it first.")
    return _ask(reply.session, reply.parent, model=model, api_key_id=api_key_id, now=now)


@transaction.atomic
def edit_message(
    message: ChatMessage,
    content: str,
    *,
    model: str = "",
    client_id: str = "",
    api_key_id: int | None = None,
    now: datetime | None = None,
) -> tuple[ChatMessage, ChatMessage]:
    """Write another version of one's message beside it and return that with its reply; nothing is destroyed."""
    now = now or clock.now()
    _check(content, needs_text=not message.attachments)
    if message.role != MessageRole.USER:
        raise NotPossible("Only one's own messages can be edited.")
    session = message.session
    edited = ChatSession.objects.add_message(
        session,
        MessageRole.USER,
        content,
        beside=message,
        client_id=client_id,
        attachments=message.attachments,
        now=now,
    )
    if reply := edited.children.order_by("number").first():
        return edited, reply
    return edited, _ask(session, edited, model=model, api_key_id=api_key_id, now=now)


@transaction.atomic
def change(session: ChatSession, *, state: str = "", **values: str) -> ChatSession:
    """
    Change title, system prompt or model, archive the session or take it out again; return it.

    Raises UnknownModel, and SessionExists when its item has an active session by now.
    """
    if "model" in values:
        require_model(values["model"])
    for name, value in values.items():
        setattr(session, name, value)
    if values:
        ChatSession.objects.save(session)
    if state:
        ChatSession.objects.move(session, SessionState(state))
    transaction.on_commit(partial(news.tell_of_session, session), robust=True)
    return session


def is_being_written(reply: ChatMessage) -> bool:
    """Is the reply's task at work? The reply becomes what its task says: the hook that writes it may be late."""
    if replies.record(reply.task_id):
        reply.refresh_from_db(fields=("state", "content", "error", "usage", "cost_usd", "answered_by", "fallback"))
    return reply.state == MessageState.PENDING


def rename(session: ChatSession, title: str) -> ChatSession:
    """Give the session a title and return it."""
    return change(session, title=title)


def archive(session: ChatSession) -> ChatSession:
    """Put the session away and return it."""
    return change(session, state=SessionState.ARCHIVED)


def delete(session: ChatSession, *, now: datetime | None = None) -> bool:
    """Delete the session for its owner and stop what is being written; the ledger stays."""
    deleted = ChatSession.objects.delete(session)
    for reply in ChatMessage.objects.filter(session=session).pending().exclude(task_id=None):
        stop_reply(reply, now=now)
    attaching.forget_all(session)
    news.tell_of_session(session)
    return deleted


def change_one_of_many(session: ChatSession, action: str) -> bool:
    """Archive, unarchive or delete a session; False when that changes nothing, or its item's place is taken."""
    if action == "delete":
        return delete(session)
    before = session.state
    try:
        wanted = SessionState.ARCHIVED if action == "archive" else SessionState.ACTIVE
        return change(session, state=wanted).state != before
    except SessionExists:
        return False


def close_idle(now: datetime, *, idle_for: timedelta = IDLE_FOR) -> int:
    """Close sessions that were idle for that long, in a bounded batch; return how many."""
    idle = ChatSession.objects.find_inactive_sessions(now, idle_for, limit=BATCH)
    ids: list[UUID] = list(idle.values_list("pk", flat=True))
    still_idle = ChatSession.objects.active().idle_since(now - idle_for).filter(pk__in=ids)
    return int(still_idle.update(state=SessionState.CLOSED))


def _ask(
    session: ChatSession,
    message: ChatMessage,
    *,
    model: str,
    simulate: dict[str, Any] | None = None,
    api_key_id: int | None,
    now: datetime,
) -> ChatMessage:
    """Write a pending reply to the message and submit its task. Part of the caller's transaction."""
    reply = ChatSession.objects.add_message(
        session, MessageRole.ASSISTANT, state=MessageState.PENDING, after=message, now=now
    )
    given = {"session_id": str(session.pk), "message_id": str(reply.pk)}
    request = TaskRequest(
        type=usage.TASK_TYPE,
        input=given | ({"simulate": simulate} if simulate else {}),
        model=model or session.model,
        related=(usage.RELATED_TYPE, str(session.pk)),
        serial_key=f"chat:{session.pk}",
        api_key_id=api_key_id,
    )
    reply.task_id = submission.submit(session.owner, request, now=now).pk
    reply.save(update_fields=("task_id",))
    transaction.on_commit(partial(news.tell_of_messages, session, [message, reply]), robust=True)
    return reply


def _check(content: str, *, needs_text: bool) -> None:
    """Refuse what is no message: nothing, too much, or what the database cannot store."""
    if needs_text and not content.strip():
        raise InvalidInput("A message needs text.", errors=(Mistake("/content", "must not be empty"),))
    if len(content) > LONGEST_MESSAGE:
        detail = f"must have at most {LONGEST_MESSAGE:,} characters"
        raise InvalidInput("The message is too long.", errors=(Mistake("/content", detail),))
    if UNSTORABLE.search(content):
        raise InvalidInput("The message cannot be stored.", errors=(Mistake("/content", "has invalid characters"),))


def _name_after(session: ChatSession, content: str) -> None:
    """Take the first line as the title of a session that has none."""
    line = titles.first_line(content)
    if ChatSession.objects.filter(pk=session.pk, title="").update(title=line):
        session.title = line
        transaction.on_commit(partial(news.tell_of_session, session), robust=True)


def _task_of(reply: ChatMessage) -> AIGenerationTask:
    task = AIGenerationTask.objects.filter(pk=reply.task_id).first()
    if task is None:
        raise NotPossible("Only a reply can be stopped.")
    return task


def forget(owner: User) -> int:
    """Delete all of a user's chats with their messages and files, some in a transaction; return how many chats."""
    sessions, count = ChatSession._base_manager.filter(owner=owner), 0
    while chosen := list(sessions.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        sessions.filter(pk__in=chosen).delete()
        count += len(chosen)
    return count
