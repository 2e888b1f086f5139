"""WebSocket tickets: for clients that can send neither a cookie nor a header with the handshake."""

import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import User

from ai_tasks.access.keys import SCOPES, digest_of
from ai_tasks.access.models import ApiKey, WebSocketTicket

LIFETIME = timedelta(seconds=30)
TICKET = re.compile(r"wst_[A-Za-z0-9_-]{43}")


def issue(owner: User, now: datetime, *, scopes: Iterable[str] = SCOPES, key: ApiKey | None = None) -> str:
    """Return a new ticket, good once within 30 seconds, for what its scopes are good for and as long as its key is."""
    ticket = f"wst_{secrets.token_urlsafe(32)}"
    WebSocketTicket.objects.create(
        owner=owner, api_key=key, scopes=[*scopes], digest=digest_of(ticket), expires_at=now + LIFETIME
    )
    return ticket


def redeem(ticket: str, now: datetime) -> WebSocketTicket | None:
    """Use the ticket up and return what it was, or None. Of several at once one wins: whose DELETE finds the row."""
    if not TICKET.fullmatch(ticket):
        return None
    tickets = WebSocketTicket.objects.filter(digest=digest_of(ticket), expires_at__gt=now, owner__is_active=True)
    found = tickets.select_related("owner").first()
    if found is None or not WebSocketTicket.objects.filter(pk=found.pk).delete()[0]:
        return None
    return found
