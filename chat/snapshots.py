"""What a page or socket begins with: the session and its newest messages."""

from typing import Any

from ai_tasks import clock
from chat.models import ChatMessage, ChatSession
from chat.replies import record
from chat.representation import message_json, session_json
from chat.usage import month_json

MESSAGES = 50


def snapshot(session: ChatSession) -> dict[str, Any]:
    """Return the session, its newest messages in order, whether older ones exist, and what the month has used."""
    rows = list(ChatSession.objects.get_message_history(session, limit=MESSAGES + 1))
    shown = [_fresh(row) for row in rows[:MESSAGES]][::-1]
    return {
        "session": session_json(session),
        "messages": [message_json(row) for row in shown],
        "has_more": len(rows) > MESSAGES,
        "month": month_json(session.owner, clock.now()),
    }


def _fresh(message: ChatMessage) -> ChatMessage:
    """Return the message as its task is now: the hook that writes it runs a moment after the task's end."""
    if message.is_unfinished:
        record(message.task_id)
        message.refresh_from_db()
    return message
