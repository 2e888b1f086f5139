"""What those who have a session open are told: hints; their sockets read what it is."""

from collections.abc import Iterable

from ai_tasks import events
from chat import usage
from chat.models import ChatMessage, ChatSession

MESSAGES, SESSION = "chat.messages", "chat.session"


def group_of(session: ChatSession) -> str:
    """Return the channel group of a session: its tasks' moves, its new messages, its own changes."""
    return events.group_for_related(session.owner_id, usage.RELATED_TYPE, str(session.pk))


def tell_of_messages(session: ChatSession, messages: Iterable[ChatMessage]) -> None:
    """Tell which messages are new. Call it after the commit."""
    events.send(group_of(session), {"name": MESSAGES, "message_ids": [str(message.pk) for message in messages]})


def tell_of_session(session: ChatSession) -> None:
    """Tell that the session was renamed, archived, deleted, or set up otherwise. Call it after the commit."""
    events.send(group_of(session), {"name": SESSION})
