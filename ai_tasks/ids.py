"""Ids that sort by the time they were made."""

import uuid

from queueing import ids


def uuid7() -> uuid.UUID:
    """Return a version 7 UUID. A name of its own: chat's migrations name the function, and chat knows no queue."""
    return ids.uuid7()
