"""Pages by key: newest first, never skipping or doubling a row when others are added."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.core import signing
from django.db.models import Model, Q, QuerySet, UUIDField

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


def page_by(
    rows: QuerySet[Any], parameters: Mapping[str, str], represent: Callable[[list[Any]], list[Any]], *keys: str
) -> dict[str, Any]:
    """
    Return one page of rows in the order of these keys (`-name`: descending), which together are unique.

    Rows are models or dicts; their keys are numbers or text. The cursor is signed, and good for this order only.
    Raises InvalidInput.
    """
    limit = _limit(parameters.get("limit", str(DEFAULT_LIMIT)))
    names, salt = [key.removeprefix("-") for key in keys], f"page:{','.join(keys)}"
    if cursor := parameters.get("cursor"):
        rows = rows.filter(_behind(keys, _unsigned(cursor, salt)))
    found = list(rows.order_by(*keys)[: limit + 1])
    has_more, shown = len(found) > limit, found[:limit]
    last = [shown[-1][name] if isinstance(shown[-1], dict) else getattr(shown[-1], name) for name in names if has_more]
    following = signing.dumps(last, salt=salt, compress=True) if has_more else None
    return {"object": "list", "data": represent(shown), "has_more": has_more, "next": following}


def _behind(keys: Sequence[str], values: Sequence[Any]) -> Q:
    """Return the condition for rows that come after these values."""
    found, same = Q(), Q()
    for key, value in zip(keys, values, strict=True):
        name = key.removeprefix("-")
        found |= same & Q(**{f"{name}__{'lt' if key.startswith('-') else 'gt'}": value})
        same &= Q(**{name: value})
    return found


def _unsigned(cursor: str, salt: str) -> list[Any]:
    try:
        values: list[Any] = signing.loads(cursor, salt=salt)
    except signing.BadSignature as error:
        raise InvalidInput("This cursor was not made here.", errors=(Mistake("?cursor", "unknown"),)) from error
    return values


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
