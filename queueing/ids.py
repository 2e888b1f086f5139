"""Ids that sort by the time they were made."""

import secrets
import time
import uuid


def uuid7() -> uuid.UUID:
    """Return a version 7 UUID (RFC 9562): 48 bits of milliseconds, 12 of their fraction, 62 random."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    value = (milliseconds << 80) | (0x7000 | fraction) << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)
