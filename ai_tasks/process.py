"""This process, as the database knows it."""

import os
import socket
import uuid
from functools import cache

from django.db import connection


@cache
def _boot_id(pid: int) -> uuid.UUID:
    return uuid.uuid4()


def boot_id() -> uuid.UUID:
    """Return the id of this run of this process: new at every start, and after a fork."""
    return _boot_id(os.getpid())


def pid() -> int:
    """Return the process's id."""
    return os.getpid()


def hostname() -> str:
    """Return the name of this machine."""
    return socket.gethostname()[:200]


def give_connection_back() -> None:
    """Return this thread's database connection to the pool: a thread that waits, or ends, must not keep one."""
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        connection.close()
