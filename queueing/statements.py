"""
Statements of the hot path: a QuerySet or an UPDATE that the ORM compiles once and that runs with new parameters.

Compiling takes the ORM as long as PostgreSQL needs to answer. UPDATE ... RETURNING, which it lacks, saves two round
trips where a lock, a write and a read would be three.
"""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Expression, Model, QuerySet
from django.db.models.sql import UpdateQuery

Row = TypeVar("Row", bound=Model)


class Param(Expression):
    """The place of a parameter, in filters and in what an update sets."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        """Return a placeholder that keeps its name."""
        return "%s", [self]


class Select(Generic[Row]):
    """A SELECT of whole rows, or of some of their fields, and of annotations; related rows do not come along."""

    def __init__(self, build: "Callable[[], QuerySet[Row]]") -> None:
        self._build = build

    @cached_property
    def _model(self) -> type[Row]:
        return self._build().model

    @cached_property
    def _compiled(self) -> tuple[str, tuple[Any, ...]]:
        sql, params = self._build().query.get_compiler(connection.alias).as_sql()
        return sql, tuple(params)

    def rows(self, **values: Any) -> list[Row]:
        """Run it with these parameters and return the rows in its order."""
        sql, params = self._compiled
        return list(self._model._base_manager.raw(sql, _bound(params, values)))

    def tuples(self, **values: Any) -> list[tuple[Any, ...]]:
        """Run it and return the rows as the driver gives them: for text and numbers."""
        sql, params = self._compiled
        with connection.cursor() as cursor:
            cursor.execute(sql, _bound(params, values))
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


class Update(Select[Row]):
    """An UPDATE, as QuerySet.update makes it, of what it `sets`: by name, a value, an expression or a Param."""

    def __init__(self, build: "Callable[[], QuerySet[Row]]", **sets: Any) -> None:
        super().__init__(build)
        self._sets = sets

    @cached_property
    def _compiled(self) -> tuple[str, tuple[Any, ...]]:
        query: UpdateQuery = self._build().query.chain(UpdateQuery)  # type: ignore[assignment]
        query.add_update_values(self._sets)
        sql, params = query.get_compiler(connection.alias).as_sql()
        return sql, tuple(params)

    def rows(self, **values: Any) -> list[Row]:
        """Run it and return the rows as they are now, in no order."""
        sql, params = self._compiled
        return list(self._model._base_manager.raw(f"{sql} RETURNING *", _bound(params, values)))

    def run(self, *many: dict[str, Any]) -> int:
        """Run it once for each of these and return how many rows changed in all."""
        sql, params = self._compiled
        with connection.cursor() as cursor:
            if len(many) == 1:
                cursor.execute(sql, _bound(params, many[0]))
            else:
                cursor.executemany(sql, [_bound(params, values) for values in many])
            return int(cursor.rowcount)


def _bound(params: tuple[Any, ...], values: dict[str, Any]) -> list[Any]:
    return [_adapted(values[each.name]) if isinstance(each, Param) else each for each in params]


def _adapted(value: Any) -> Any:
    """Return the value as the database's driver takes it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, UUID) and not connection.features.has_native_uuid_field:
        return value.hex
    return value
