"""
Statements of the hot path: a QuerySet or an UPDATE that the ORM compiles once and that runs with new parameters.

Compiling takes the ORM as long as PostgreSQL needs to answer. UPDATE ... RETURNING, which it lacks, saves two round
trips where a lock, a write and a read would be three.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum
from functools import cached_property, partial
from itertools import repeat
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Expression, F, Field, Model, QuerySet
from django.db.models.lookups import In
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


class _Shape(NamedTuple):
    """How a statement's columns become an instance."""

    width: int
    """How many columns there are."""
    names: list[str]
    places: list[int]
    """The fields, in the model's order, and where their columns stand."""
    annotations: list[tuple[str, int]]
    converters: list[tuple[int, list[Callable[..., Any]], Any]]


class _Reader(Generic[Row]):
    """Makes instances as QuerySet.raw does, which looks at every call at what the columns mean: longer than at them."""

    def __init__(self, model: type[Row]) -> None:
        self._model = model
        self._shape: _Shape | None = None

    def rows(self, sql: str, params: Any) -> list[Row]:
        """Run the statement, which is always the same one, and return its rows."""
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            found = cursor.fetchall()
            shape = self._shape
            # An upgrade may add or drop a column of a table in use.
            if found and (shape is None or shape.width != len(found[0])):
                shape = self._shape = self._shape_of([each[0] for each in cursor.description])
        return [self._instance(shape, list(row)) for row in found] if shape else []

    def _shape_of(self, columns: list[str]) -> _Shape:
        fields = {field.column: field for field in self._model._meta.concrete_fields}
        compiler: Any = self._model._base_manager.all().query.get_compiler(connection.alias)
        columns_of = [fields[each].get_col(self._model._meta.db_table) if each in fields else None for each in columns]
        converters = compiler.get_converters(columns_of).items()
        known = [(field.attname, columns.index(name)) for name, field in fields.items() if name in columns]
        return _Shape(
            len(columns),
            [name for name, _ in known],
            [place for _, place in known],
            [(name, place) for place, name in enumerate(columns) if name not in fields],
            [(place, each, column) for place, (each, column) in converters],
        )

    def _instance(self, shape: _Shape, values: list[Any]) -> Row:
        for place, converters, column in shape.converters:
            for convert in converters:
                values[place] = convert(values[place], column, connection)
        row = self._model.from_db(connection.alias, shape.names, [values[place] for place in shape.places])
        for name, place in shape.annotations:
            setattr(row, name, values[place])
        return row


class Select(Generic[Row]):
    """A SELECT of whole rows, or of some of their fields, and of annotations; related rows do not come along."""

    def __init__(self, build: "Callable[[], QuerySet[Row]]") -> None:
        self._build = build

    @cached_property
    def _reader(self) -> _Reader[Row]:
        return _Reader(self._build().model)

    @cached_property
    def _compiled(self) -> tuple[str, tuple[Any, ...]]:
        sql, params = self._build().query.get_compiler(connection.alias).as_sql()
        return sql, tuple(params)

    def rows(self, **values: Any) -> list[Row]:
        """Run it with these parameters and return the rows in its order."""
        sql, params = self._compiled
        return self._reader.rows(sql, _bound(params, values))

    def tuples(self, **values: Any) -> list[tuple[Any, ...]]:
        """Run it and return the rows as the driver gives them: for text and numbers."""
        sql, params = self._compiled
        with connection.cursor() as cursor:
            cursor.execute(sql, _bound(params, values))
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def among(field: str, keys: "list[Param]") -> Any:
    """Return the condition that the field is one of these; `__in` does not take parameters for a foreign key."""
    return In(F(field), keys)


class SelectIn(Generic[Row]):
    """
    The rows of a number of keys, in one SELECT that is compiled for some lengths only: keys are repeated to fill it up.
    """

    def __init__(self, build: "Callable[[list[Param]], QuerySet[Row]]") -> None:
        self._build = build
        self._by_length: dict[int, Select[Row]] = {}

    def rows(self, keys: Sequence[Any]) -> list[Row]:
        """Run it for these keys and return the rows in its order."""
        if not keys:
            return []
        names = [f"key{number}" for number in range(1 << (len(keys) - 1).bit_length())]
        if len(names) not in self._by_length:
            self._by_length[len(names)] = Select(partial(self._build, [Param(name) for name in names]))
        filled = [*keys, *repeat(keys[-1], len(names) - len(keys))]
        return self._by_length[len(names)].rows(**dict(zip(names, filled, strict=True)))


class UpdateEach(Generic[Row]):
    """
    One UPDATE of many rows, each with values of its own, which both databases take from a list.

    `where`, `sets` and `once` (where it is null): columns' fields, each with the name of its value in the rows; `only`:
    what must be so of all; `skips_locked`: rows that somebody else has locked are passed over.
    """

    def __init__(
        self,
        model: type[Row],
        *,
        where: dict[str, str],
        sets: dict[str, str],
        once: dict[str, str] | None = None,
        only: dict[str, Any] | None = None,
        skips_locked: bool = False,
    ) -> None:
        self._model, self._where, self._sets, self._once = model, where, sets, once or {}
        self._only, self._skips_locked = only or {}, skips_locked
        self._reader = _Reader(model)

    @cached_property
    def _values(self) -> "dict[str, Field[Any, Any]]":
        """Return, by the name of each value, the field that says how it is written."""
        named = [(value, field) for each in (self._where, self._sets, self._once) for field, value in each.items()]
        return {value: self._model._meta.get_field(field) for value, field in reversed(named)}

    def _column(self, field: str) -> str:
        return connection.ops.quote_name(str(self._model._meta.get_field(field).column))  # type: ignore[union-attr]

    @cached_property
    def _parts(self) -> tuple[str, str, str, str]:
        """Return the statement before its rows, a row, what follows them, and what gives the changed ones back."""
        is_postgresql, table = connection.vendor == "postgresql", connection.ops.quote_name(self._model._meta.db_table)
        sets = [f"{self._column(field)} = given.{value}" for field, value in self._sets.items()]
        for field, value in self._once.items():
            sets.append(f"{self._column(field)} = COALESCE({table}.{self._column(field)}, given.{value})")
        wanted = [f"{table}.{self._column(field)} = given.{value}" for field, value in self._where.items()]
        wanted += [f"{table}.{self._column(field)} = %(only_{field})s" for field in self._only]
        source, free, same = "given", "", " AND ".join(wanted)
        if self._skips_locked and is_postgresql:
            free = f", free AS (SELECT {table}.id FROM {table}, given WHERE {same} FOR UPDATE OF {table} SKIP LOCKED)"  # noqa: S608
            source, same = "given, free", f"{table}.id = free.id AND {same}"
        casts = {
            name: f"::{field.db_type(connection)}" if is_postgresql else "" for name, field in self._values.items()
        }
        row = ", ".join(f"%({name}_{{0}})s{cast}" for name, cast in casts.items())
        changed = f"UPDATE {table} SET {', '.join(sets)} FROM {source} WHERE {same}"  # noqa: S608
        returned = f" RETURNING {table}.*" if is_postgresql else " RETURNING *"
        return f"WITH given ({', '.join(casts)}) AS (VALUES ", f"({row})", f"){free} {changed}", returned

    def _statement(self, rows: Sequence[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        head, row, update, _ = self._parts
        params = {f"only_{field}": _adapted(value) for field, value in self._only.items()}
        for number, values in enumerate(rows):
            for name, field in self._values.items():
                params[f"{name}_{number}"] = field.get_db_prep_save(values[name], connection)
        return head + ", ".join(row.format(number) for number in range(len(rows))) + update, params

    def run(self, rows: Sequence[dict[str, Any]]) -> int:
        """Update a row for each of these, where there is one; return how many changed."""
        if not rows:
            return 0
        with connection.cursor() as cursor:
            sql, params = self._statement(rows)
            # Python does not count the rows of SQLite's WITH.
            cursor.execute(f"{sql} RETURNING 1", params)
            return len(cursor.fetchall())

    def rows(self, rows: Sequence[dict[str, Any]]) -> list[Row]:
        """Run it for these and return the rows as they are now, in no order."""
        if not rows:
            return []
        sql, params = self._statement(rows)
        return self._reader.rows(sql + self._parts[3], params)


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
        return self._reader.rows(f"{sql} RETURNING *", _bound(params, values))

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
