"""What a chat refuses; the API turns each into a problem document, as it does for tasks."""

from ai_tasks.errors import NotPossible


class SessionExists(NotPossible):
    """There is an active session of this user about this item already."""

    code = "session_exists"


class SessionClosed(NotPossible):
    """The session takes no messages: it is archived or deleted."""

    code = "session_closed"
