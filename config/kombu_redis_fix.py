"""
Keep workers alive when Redis goes away while a message is unacknowledged.

celery 5.7.0 closes the broker connection before kombu 5.7.0 is done with the channel, and kombu then meets None where
it expects the connection: AttributeError, which Celery does not recover from. Raised as the connection error that it
is, the worker reconnects. The guard belongs to these versions only; a test fails when they change.
"""

from typing import Any

import kombu
from kombu.transport import redis as transport

GUARDED_VERSION = "5.7.0"


def apply() -> None:
    """Guard kombu's Redis channel, if this is the version that needs it."""
    if kombu.__version__ != GUARDED_VERSION or hasattr(transport.Channel._connparams, "guards"):
        return
    unguarded = transport.Channel._connparams

    def guarded(self: Any, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise transport.exceptions.ConnectionError("The broker connection is closed already.")
        return unguarded(self, asynchronous=asynchronous)

    guarded.guards = unguarded  # type: ignore[attr-defined]
    transport.Channel._connparams = guarded  # type: ignore[method-assign]
