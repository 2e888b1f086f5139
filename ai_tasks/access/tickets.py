"""WebSocket tickets: for clients that can send neither a cookie nor a header with the handshake."""

import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import User

from ai_tasks.access.keys import SCOPES, digest_of
from ai_tasks.access.models import WebSocketTicket

LIFETIME = timedelta(seconds=30)
TICKET = re.compile(r"wst_[A-Za-z0-9_-]{43}(\.[a-z]+)*")


def issue(owner: User, now: datetime, *, scopes: Iterable[str] = SCOPES) -> str:
    """
    Return a new ticket, good once within 30 seconds.

    Its scopes stand in its text, `wst_<secret>.tasks.chat`; the stored digest covers them, so they cannot be widened.
    """
    ticket = ".".join([f"wst_{secrets.token_urlsafe(32)}", *scopes])
    WebSocketTicket.objects.create(owner=owner, digest=digest_of(ticket), expires_at=now + LIFETIME)
    return ticket


def redeem(ticket: str, now: datetime) -> User | None:
    """Use the ticket up and return its owner, or None. Of several at once one wins: whose DELETE finds the row."""
    if not TICKET.fullmatch(ticket):
        return None
    found = WebSocketTicket.objects.filter(digest=digest_of(ticket), expires_at__gt=now)
    owner_id = found.values_list("owner_id", flat=True).first()
    if owner_id is None or not found.delete()[0]:
        return None
    return User.objects.filter(pk=owner_id, is_active=True).first()


def scopes_of(ticket: str) -> tuple[str, ...]:
    """Return the scopes that a redeemed ticket carries."""
    return tuple(ticket.split(".")[1:])
