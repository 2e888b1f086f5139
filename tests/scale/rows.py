"""Makes many rows out of one, inside PostgreSQL."""

from django.db.models import Model

from config.seeding import analyze as analyze
from config.seeding import insert


def multiply(template: Model, count: int, **changes: str) -> None:
    """Insert `count` copies of a stored row, in whose `changes` `n` counts from 1 (config.seeding.insert)."""
    insert(template, "generate_series(1, %s) AS n", count, **changes)
