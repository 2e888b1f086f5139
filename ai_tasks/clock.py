"""What time it is: the database's word where it has a clock, so that hosts need not agree."""

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection

ASK_AGAIN_SECONDS = 5.0
"""How long an answer of the server is carried on by our own monotonic clock."""
PROMPT_SECONDS = 0.02
"""An answer that took longer says too little about when it was given; it is used, and not remembered."""


class _Asked(NamedTuple):
    time: datetime
    monotonic: float


_last: dict[str, _Asked] = {}


def now() -> datetime:
    """
    Return the current time; on PostgreSQL the server's, within some 10 ms.

    The server is asked every few seconds, not at every call: half a millisecond each, several times a task. A host
    whose own clock is wrong, or is set meanwhile, does no harm.
    """
    if connection.vendor != "postgresql":
        return datetime.now(UTC)
    last = _last.get(connection.alias)
    if last is None or time.monotonic() - last.monotonic > ASK_AGAIN_SECONDS:
        last = _ask()
    return last.time + timedelta(seconds=time.monotonic() - last.monotonic)


def _ask() -> _Asked:
    before = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    after = time.monotonic()
    asked = _Asked(moment.astimezone(UTC), (before + after) / 2)
    if after - before <= PROMPT_SECONDS:
        _last[connection.alias] = asked
    return asked
