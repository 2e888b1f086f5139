"""The one lock of admission."""

from zlib import crc32

from django.db import OperationalError, connection

NAMESPACE = 0x7A5  # keeps our advisory locks apart from a host application's


LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's word (SQLSTATE) for a lock that did not come in time."""


class ProviderBusy(OperationalError):
    """Others admit for the provider, and have for a second."""


def take_provider_lock(provider: str) -> None:
    """
    Take the provider's admission lock until the transaction ends; raises ProviderBusy after one second of waiting.

    A statement of its own: what follows must see what the former holder committed. SQLite needs none, its transactions
    begin IMMEDIATE. Lock order everywhere: provider, entry, task, attempt and hold, budget periods by id. Admission
    cannot keep it where a budget is tight; it gives up before PostgreSQL looks for a deadlock (after 1 s) and picks
    another victim, and is tried again.

    An admission that is a transaction of its own does not wait for the disk: were it lost in a crash of the database,
    its message would find no entry queued under its dispatch id, and the entry would still wait. The start, which does
    wait, comes after it in the log.
    """
    if connection.vendor != "postgresql":
        return
    try:
        with connection.cursor() as cursor:
            # One round trip; numbers, so that nothing needs quoting.
            cursor.execute(
                f"SET LOCAL lock_timeout = '1s'; SELECT pg_advisory_xact_lock({NAMESPACE}, {_key(provider)}); "
                "SET LOCAL lock_timeout = '500ms'"
                + ("" if connection.savepoint_ids else "; SET LOCAL synchronous_commit = off")
            )
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != LOCK_NOT_AVAILABLE:
            raise
        raise ProviderBusy(str(error)) from error


def _key(provider: str) -> int:
    """Return a signed 32-bit number for the name; two names that share one only wait for each other."""
    return crc32(provider.encode()) - 2**31
