"""Pages by key: newest first, never skipping or doubling a row when others are added."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet, UUIDField

from ai_tasks.errors import InvalidInput, Mistake

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

Row = TypeVar("Row", bound=Model)


def page(
    rows: QuerySet[Row], parameters: Mapping[str, str], represent: Callable[[list[Row]], list[Any]]
) -> dict[str, Any]:
    """
    Return one page of rows whose primary keys are UUIDs of version 7 or numbers, newest first.

    `limit` is 1 to 100 (20), `cursor` is the `next` of the page before. Raises InvalidInput.
    """
    limit = _limit(parameters.get("limit", str(DEFAULT_LIMIT)))
    if cursor := parameters.get("cursor"):
        last = _decode(cursor)
        rows = rows.filter(pk__lt=last if isinstance(rows.model._meta.pk, UUIDField) else last.int)
    found = list(rows.order_by("-pk")[: limit + 1])
    has_more = len(found) > limit
    shown = found[:limit]
    following = _encode(shown[-1].pk) if has_more else None
    return {"object": "list", "data": represent(shown), "has_more": has_more, "next": following}


def whole(data: list[Any]) -> dict[str, Any]:
    """Return a list that has one page."""
    return {"object": "list", "data": data, "has_more": False, "next": None}


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidInput(
            f"limit must be 1 to {MAX_LIMIT}.", errors=(Mistake("?limit", f"not a number from 1 to {MAX_LIMIT}"),)
        )
    return int(text)


def _encode(key: UUID | int) -> str:
    as_uuid = UUID(int=key) if isinstance(key, int) else key
    return base64.urlsafe_b64encode(as_uuid.bytes).decode().rstrip("=")


def _decode(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("This cursor was not made here.", errors=(Mistake("?cursor", "unknown"),)) from error
