"""Who wishes it, why and when, and the entry that says so: written in the transaction that does it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.http import HttpRequest

from ai_tasks import clock
from ai_tasks.models import AuditEntry
from ai_tasks.oversight.actions import Action
from providers.types import storable

REASON_LENGTH = 150
Kind = AuditEntry.Kind


class By(NamedTuple):
    """Who wishes something, why and when."""

    name: str
    reason: str
    at: datetime
    user_id: int | None = None
    """None: the system itself."""
    request_id: str = ""


def by_request(request: HttpRequest, reason: str = "", now: datetime | None = None) -> By:
    """Return who made the request; views have made sure that it is somebody."""
    user: Any = request.user
    return By(user.get_username(), storable(reason), now or clock.now(), user.pk, getattr(request, "request_id", ""))


def by_system(reason: str, now: datetime) -> By:
    """Return who does what nobody asked for just now."""
    return By("system", reason, now)


def write(
    by: By,
    action: Action,
    kind: Kind,
    key: object,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    count: int = 1,
) -> AuditEntry:
    """Add an entry, in the caller's transaction, and return it; values are JSON."""
    return AuditEntry.objects.create(
        at=by.at,
        actor_id=by.user_id,
        actor=by.name[:150],
        action=action,
        object_kind=kind,
        object_key=str(key)[:170],
        count=count,
        before=dict(before or {}),
        after=dict(after or {}),
        reason=by.reason[:200],
        request_id=by.request_id,
    )
