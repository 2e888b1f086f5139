"""What sessions and messages look like outside: one shape for REST, WebSocket and the page."""

from collections.abc import Iterable
from typing import Any

from ai_tasks.representation import moment
from chat import usage
from chat.models import ChatMessage, ChatSession
from chat.render import to_html
from chat.states import MessageRole
from chat.usage import TokenUsage

Json = dict[str, Any]

NOTHING = TokenUsage()


def sessions_json(sessions: Iterable[ChatSession]) -> list[Json]:
    """Return the sessions' shapes in their order; one query for what they used."""
    rows = list(sessions)
    used = usage.of_sessions(row.pk for row in rows)
    return [_session(row, used.get(str(row.pk), NOTHING)) for row in rows]


def session_json(session: ChatSession) -> Json:
    """Return one session's shape."""
    return sessions_json([session])[0]


def _session(session: ChatSession, used: TokenUsage) -> Json:
    return {
        "id": str(session.pk),
        "object": "chat.session",
        "title": session.title,
        "state": session.state,
        "item": {"type": session.item_type, "id": session.item_id} if session.item_type else None,
        "system_prompt": session.system_prompt,
        "model": session.model,
        **used_json(used),
        "created_at": moment(session.created_at),
        "last_activity_at": moment(session.last_activity_at),
    }


def used_json(used: TokenUsage) -> Json:
    """Return what a session used; the cost is a decimal string, null when any call has no price."""
    tokens = ("input_tokens", "output_tokens", "total_tokens")
    return {
        "usage": {name: getattr(used, name) for name in tokens},
        "cost_usd": used.cost_text,
    }


def message_json(message: ChatMessage) -> Json:
    """Return a message's shape; `html` is its content as safe HTML, null for people's messages."""
    is_reply = message.role == MessageRole.ASSISTANT
    return {
        "id": str(message.pk),
        "object": "chat.message",
        "session_id": str(message.session_id),
        "number": message.number,
        "parent_id": str(message.parent_id) if message.parent_id else None,
        "role": message.role,
        "state": message.state,
        "content": message.content,
        "attachments": message.attachments,
        "html": to_html(message.content) if is_reply else None,
        "answered_by": message.answered_by or None,
        "fallback": message.fallback,
        "task_id": str(message.task_id) if message.task_id else None,
        "client_id": message.client_id or None,
        "error": message.error,
        "usage": message.usage,
        "cost_usd": message.cost_usd or None,
        "created_at": moment(message.created_at),
    }
