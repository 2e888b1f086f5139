"""Makes many rows out of one, inside PostgreSQL."""

from django.db import connection
from django.db.models import Model


def multiply(template: Model, count: int, **changes: str) -> None:
    """
    Insert `count` copies of a stored row; `changes` are SQL expressions by column, in which `n` counts from 1.

    The template's own columns are called `template.NAME`.
    """
    table = template._meta.db_table
    columns = [field.column for field in template._meta.concrete_fields if field.get_internal_type() != "BigAutoField"]
    values = ", ".join(changes.get(column, f'template."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    statement = (
        f'INSERT INTO "{table}" ({names}) SELECT {values} FROM "{table}" AS template, generate_series(1, %s) AS n '
        f'WHERE template."{template._meta.pk.column}" = %s'
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [count, template.pk])


def analyze(*models: type[Model]) -> None:
    """Give the planner its statistics."""
    with connection.cursor() as cursor:
        for model in models:
            cursor.execute(f'ANALYZE "{model._meta.db_table}"')
