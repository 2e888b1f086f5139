"""Lists and moments as OpenAI's clients know them."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework.request import Request

from ai_tasks.errors import InvalidInput, Mistake

KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Row = TypeVar("Row", bound=Model)


def stamp(moment: datetime | None) -> int | None:
    """Return a moment in whole seconds since 1970."""
    return None if moment is None else int(moment.timestamp())


def id_in(text: str, prefix: str) -> UUID | None:
    """Return the key in an object's id; None: it is no such id."""
    key = text.removeprefix(prefix)
    return UUID(key) if text.startswith(prefix) and KEY.fullmatch(key) else None


def listed(
    request: Request, rows: QuerySet[Row], shape: Callable[[Row], Any], *, prefix: str, default: int, most: int
) -> dict[str, Any]:
    """
    Return a page of rows whose keys grow with time: `limit` of them behind the one of the id `after`.

    Newest first, unless `order=asc`. Raises InvalidInput.
    """
    given = request.query_params
    is_rising = _one_of(given.get("order", "desc"), "order", ("asc", "desc")) == "asc"
    limit = _limit(given.get("limit", str(default)), most)
    if "after" in given:
        key = id_in(given["after"], prefix)
        if key is None:
            raise _wrong("after", f"not the id of one: {prefix}...")
        rows = rows.filter(**{"pk__gt" if is_rising else "pk__lt": key})
    found = list(rows.order_by("pk" if is_rising else "-pk")[: limit + 1])
    data = [shape(row) for row in found[:limit]]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, **ends, "has_more": len(found) > limit}


def _limit(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise _wrong("limit", f"not a number from 1 to {most:,}")
    return int(text)


def _one_of(text: str, name: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise _wrong(name, f"not one of {', '.join(words)}")
    return text


def _wrong(name: str, detail: str) -> InvalidInput:
    return InvalidInput("The request is not valid.", errors=(Mistake(f"/{name}", detail),))
