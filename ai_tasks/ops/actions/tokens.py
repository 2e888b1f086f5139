"""The token of a form that was shown: who may send it, for what, what it said, and that it acts once."""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from django.core import signing

from ai_tasks.oversight.actions import Action

SALT = "ai_tasks.ops.actions"
VALID_FOR = timedelta(hours=12)
"""Less than idempotency keys are remembered for, so that no token acts twice."""


class Token(NamedTuple):
    """What a form was shown with."""

    key: str
    """Under which what it did is remembered."""
    said: int
    """How many objects it said that it is about."""


def make(user_id: int, action: Action, count: int) -> str:
    """Return the token of a form that is about to be shown."""
    return signing.dumps([user_id, action, uuid4().hex, count], salt=SALT)


def read(text: str, user_id: int, action: Action) -> Token | None:
    """Return what a token of this user's form says; None: it is forged, too old, or another's."""
    try:
        given: Any = signing.loads(text, salt=SALT, max_age=VALID_FOR)
    except signing.BadSignature:
        return None
    its_user, its_action, key, count = given
    return Token(f"form:{key}", count) if (its_user, its_action) == (user_id, action) else None
