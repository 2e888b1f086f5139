"""API keys: made once, shown once, recognised by their digest."""

import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256

from django.contrib.auth.models import User
from django.db.models import Q

from ai_tasks.access.models import ApiKey
from queueing.states import Priority

SCOPES = ("tasks", "chat", "operations")
"""What a key may be good for: the task API, the chat API, the operators' views (for staff)."""

KEY = re.compile(r"tsk_[A-Za-z0-9_-]{43}")
PREFIX_LENGTH = 12
USE_NOTED_EVERY = timedelta(minutes=1)


def create(
    owner: User,
    name: str,
    *,
    scopes: Iterable[str] = SCOPES,
    priority_ceiling: Priority = Priority.HIGH,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key with 256 random bits and return its row and its text, which is nowhere else."""
    text = f"tsk_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        owner=owner,
        name=name[:100],
        prefix=text[:PREFIX_LENGTH],
        digest=digest_of(text),
        scopes=[scope for scope in SCOPES if scope in set(scopes)],
        priority_ceiling=priority_ceiling,
        expires_at=expires_at,
    )
    return key, text


def authenticate(text: str, now: datetime) -> ApiKey | None:
    """
    Return the valid key of that text, with its owner, or None.

    Looked up by digest, so that its time tells nothing about other keys. Refused: unknown, revoked, expired, and
    those of inactive users. The use is noted at most once a minute.
    """
    if not KEY.fullmatch(text):
        return None
    valid = Q(expires_at=None) | Q(expires_at__gt=now)
    found = ApiKey.objects.select_related("owner").filter(
        valid, digest=digest_of(text), revoked_at=None, owner__is_active=True
    )
    if key := found.first():
        _note_use(key, now)
    return key


def is_valid(key_id: int, now: datetime) -> bool:
    """Is a key that was accepted before still good?"""
    valid = Q(expires_at=None) | Q(expires_at__gt=now)
    return ApiKey.objects.filter(valid, pk=key_id, revoked_at=None, owner__is_active=True).exists()


def _note_use(key: ApiKey, now: datetime) -> None:
    stale = now - USE_NOTED_EVERY
    if key.last_used_at is None or key.last_used_at <= stale:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lte=stale)
        ApiKey.objects.filter(unnoted, pk=key.pk).update(last_used_at=now)


def digest_of(text: str) -> str:
    """Return the digest under which a secret is stored."""
    return sha256(text.encode()).hexdigest()
