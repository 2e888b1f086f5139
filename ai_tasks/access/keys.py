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

SCOPES = ("tasks", "chat", "operations", "keys")
"""What a key may be good for: the task API, the chat API, the operators' views (for staff), making other keys."""
USUAL_SCOPES = SCOPES[:3]

KEY = re.compile(r"tsk_[A-Za-z0-9_-]{43}")
PREFIX_LENGTH = 12
USE_NOTED_EVERY = timedelta(minutes=1)
MOST_REQUESTS_PER_MINUTE = 1_000_000
USUAL_OVERLAP = timedelta(hours=24)


def create(
    owner: User,
    name: str,
    *,
    scopes: Iterable[str] = USUAL_SCOPES,
    priority_ceiling: Priority = Priority.HIGH,
    requests_per_minute: int | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key with 256 random bits and return its row and its text, which is nowhere else."""
    text = _new_text()
    key = ApiKey.objects.create(
        owner=owner,
        name=name[:100],
        prefix=text[:PREFIX_LENGTH],
        digest=digest_of(text),
        scopes=[scope for scope in SCOPES if scope in set(scopes)],
        priority_ceiling=priority_ceiling,
        requests_per_minute=requests_per_minute,
        expires_at=expires_at,
    )
    return key, text


def rotate(key: ApiKey, now: datetime, *, overlap: timedelta = USUAL_OVERLAP) -> str | None:
    """
    Give the key another text and return it, which is nowhere else; the one before is good until the overlap is over.

    All else stays: its id, what it may, its budgets. The text before that one is worthless at once. None: it was
    revoked, or rotated at this very moment.
    """
    text = _new_text()
    unchanged = ApiKey.objects.filter(pk=key.pk, digest=key.digest, revoked_at=None)
    values = {"prefix": text[:PREFIX_LENGTH], "digest": digest_of(text)}
    changed = unchanged.update(**values, old_digest=key.digest, old_digest_until=now + overlap)
    return text if changed else None


def revoke(key: ApiKey, now: datetime) -> bool:
    """End a key, at once and for good; False: it was revoked before."""
    return bool(ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now))


def _new_text() -> str:
    return f"tsk_{secrets.token_urlsafe(32)}"


def authenticate(text: str, now: datetime) -> ApiKey | None:
    """
    Return the valid key of that text, with its owner, or None.

    Looked up by digest, so that its time tells nothing about other keys. Refused: unknown, revoked, expired, and
    those of inactive users. The use is noted at most once a minute.
    """
    if not KEY.fullmatch(text):
        return None
    valid = Q(expires_at=None) | Q(expires_at__gt=now)
    digest = digest_of(text)
    named = Q(digest=digest) | Q(old_digest=digest, old_digest_until__gt=now)
    found = ApiKey.objects.select_related("owner").filter(valid, named, revoked_at=None, owner__is_active=True)
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
