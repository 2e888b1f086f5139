"""What `GET /tasks` can be narrowed by."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import F, Func, TextField, Value
from django.db.models.query import QuerySet
from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from ai_tasks.api.fields import METADATA_NAME, METADATA_PAIRS
from ai_tasks.api.parsers import UNSTORABLE
from ai_tasks.errors import InvalidInput, Mistake
from ai_tasks.models import AIGenerationTask
from ai_tasks.states import TaskStatus

Tasks = QuerySet[AIGenerationTask]

METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)
PAGING = {"limit", "cursor"}

PARAMETERS = [
    OpenApiParameter("status", OpenApiTypes.STR, enum=TaskStatus.values, many=True, explode=True),
    OpenApiParameter("type", OpenApiTypes.STR),
    OpenApiParameter("provider", OpenApiTypes.STR),
    OpenApiParameter("related_type", OpenApiTypes.STR),
    OpenApiParameter("related_id", OpenApiTypes.STR, description="Together with `related_type`."),
    OpenApiParameter("created_after", OpenApiTypes.DATETIME, description="Included."),
    OpenApiParameter("created_before", OpenApiTypes.DATETIME, description="Not included."),
    OpenApiParameter(
        "metadata",
        {"type": "object", "additionalProperties": {"type": "string"}},
        style="deepObject",
        explode=True,
        description="`metadata[key]=value`; several must all hold.",
    ),
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    OpenApiParameter("cursor", OpenApiTypes.STR, description="The `next` of the page before."),
]


class MetadataValue(Func):
    """The value of one name in `metadata`, whatever the name: Django's own transforms take digits for array places."""

    output_field = TextField()

    def __init__(self, name: str, path: str = "") -> None:
        super().__init__(F("metadata"), Value(name), Value(path or f"$.{json.dumps(name)}"))

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> Any:
        """The object's member as text."""
        column, name, _path = map(compiler.compile, self.get_source_expressions())
        return f"({column[0]} ->> {name[0]}::text)", (*column[1], *name[1])

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> Any:
        """By path, with the name quoted as it is stored."""
        column, _name, path = map(compiler.compile, self.get_source_expressions())
        return f"JSON_EXTRACT({column[0]}, {path[0]})", (*column[1], *path[1])


def narrowed(tasks: Tasks, query: QueryDict) -> Tasks:
    """Return the tasks that the query's parameters leave; raises InvalidInput, also for unknown parameters."""
    for name in query:
        if UNSTORABLE.search(name + "".join(query.getlist(name))):
            raise wrong(name, "holds NUL or a lone surrogate")
        if narrow := FILTERS.get(name):
            tasks = narrow(tasks, name, query.getlist(name))
        elif match := METADATA.fullmatch(name):
            tasks = _by_metadata(tasks, match[1], query.getlist(name))
        elif name not in PAGING:
            raise wrong(name, "unknown parameter")
    if sum(name.startswith("metadata[") for name in query) > METADATA_PAIRS:
        raise wrong("metadata", f"more than {METADATA_PAIRS} pairs")
    return tasks


def wrong(name: str, detail: str) -> InvalidInput:
    """Return the refusal of a query parameter."""
    shown = UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", name[:100])
    return InvalidInput(f"The parameter {shown} is wrong: {detail}.", errors=(Mistake(f"?{shown}", detail),))


def _by_status(tasks: Tasks, name: str, values: list[str]) -> Tasks:
    wanted = [status for value in values for status in value.split(",")]
    if not set(wanted) <= set(TaskStatus.values):
        raise wrong(name, f"not among {', '.join(TaskStatus.values)}")
    return tasks.filter(status__in=wanted)


def _exactly(column: str) -> Callable[[Tasks, str, list[str]], Tasks]:
    def narrow(tasks: Tasks, name: str, values: list[str]) -> Tasks:
        return tasks.filter(**{f"{column}__in": values})

    return narrow


def _since(lookup: str) -> Callable[[Tasks, str, list[str]], Tasks]:
    def narrow(tasks: Tasks, name: str, values: list[str]) -> Tasks:
        return tasks.filter(**{f"created_at__{lookup}": _moment(name, values[-1])})

    return narrow


def _moment(name: str, text: str) -> datetime:
    try:
        # An unescaped "+" of an offset arrives as a space.
        moment = parse_datetime(text.replace(" ", "+") if "T" in text else text) if len(text) <= 40 else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 < moment.year < 9999:
        raise wrong(name, "not an ISO 8601 date and time with its offset")
    return moment


def _by_metadata(tasks: Tasks, key: str, values: list[str]) -> Tasks:
    if not METADATA_NAME.fullmatch(key):
        raise wrong(f"metadata[{key}]", "not the name of a pair")
    # An alias of its own: the name comes from outside and must not become part of a lookup.
    return tasks.alias(_pair=MetadataValue(key)).filter(_pair__in=values)


FILTERS: dict[str, Callable[[Tasks, str, list[str]], Tasks]] = {
    "status": _by_status,
    "type": _exactly("type"),
    "provider": _exactly("provider"),
    "related_type": _exactly("related_type"),
    "related_id": _exactly("related_id"),
    "created_after": _since("gte"),
    "created_before": _since("lt"),
}
