"""The states of sessions and messages."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class SessionState(models.TextChoices):
    """Where a session is."""

    ACTIVE = "active", _("active")
    CLOSED = "closed", _("closed")
    """Idle for long; a new message reopens it."""
    ARCHIVED = "archived", _("archived")
    DELETED = "deleted", _("deleted")


SESSION_MOVES: dict[SessionState, set[SessionState]] = {
    SessionState.ACTIVE: {SessionState.CLOSED, SessionState.ARCHIVED, SessionState.DELETED},
    SessionState.CLOSED: {SessionState.ACTIVE, SessionState.ARCHIVED, SessionState.DELETED},
    SessionState.ARCHIVED: {SessionState.ACTIVE, SessionState.DELETED},
    SessionState.DELETED: set(),
}


def states_before(state: SessionState) -> list[SessionState]:
    """Return the states from which a session may move to this one."""
    return [before for before, moves in SESSION_MOVES.items() if state in moves]


class MessageRole(models.TextChoices):
    """Who speaks."""

    USER = "user", _("user")
    ASSISTANT = "assistant", _("assistant")


class MessageState(models.TextChoices):
    """How far a message is; a person's is done at once."""

    PENDING = "pending", pgettext_lazy("message", "pending")
    """Its task has not ended."""
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


class AttachmentKind(models.TextChoices):
    """How a model gets an attachment."""

    IMAGE = "image", _("image")
    TEXT = "text", _("text")
    """Written into the prompt, fenced."""
