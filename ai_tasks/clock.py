"""What time it is: the database's word where it has a clock, so that hosts need not agree."""

from datetime import UTC, datetime

from django.db import connection


def now() -> datetime:
    """Return the current time; on PostgreSQL the server's, after any lock waits of this transaction."""
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment.astimezone(UTC)
