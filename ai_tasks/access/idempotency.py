"""Idempotency keys: a create call that is sent again finds the object it made the first time."""

import json
import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction

from ai_tasks.access.models import IdempotencyRecord

KEY = re.compile(r"[\x20-\x7e]{1,200}")
REMEMBERED_FOR = timedelta(hours=24)
TWIN_WAIT_SECONDS = 10


class Mismatch(Exception):
    """The key was used for another call or another body."""


class InFlight(Exception):
    """The first call with this key has not ended yet."""


def digest_of(body: Any) -> str:
    """Return the digest of a parsed JSON body; the order of members and white space do not count."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def claim(*, owner_id: int, key: str, call: str, digest: str, now: datetime) -> tuple[IdempotencyRecord, bool]:
    """
    Return the record of this key, and whether it is new.

    Call it in the transaction that makes the object, and write the objects' ids to a new record there: then record and
    object exist together or not at all. A concurrent twin waits on the unique index until the first has committed.
    Raises Mismatch for another call or body, InFlight when the first does not end in time.
    """
    values = {"call": call, "digest": digest, "created_at": now}
    try:
        return _insert(owner_id, key, values), True
    except IntegrityError:
        record = IdempotencyRecord.objects.filter(owner_id=owner_id, key=key).first()
    except OperationalError as error:
        if connection.vendor != "postgresql":
            raise
        raise InFlight from error
    if record is None:
        raise InFlight
    return _earlier(record, values, now)


def _insert(owner_id: int, key: str, values: dict[str, Any]) -> IdempotencyRecord:
    with transaction.atomic():
        _bound_lock_wait(f"{TWIN_WAIT_SECONDS}s")
        record = IdempotencyRecord.objects.create(owner_id=owner_id, key=key, **values)
        _bound_lock_wait("DEFAULT")
    return record


def _bound_lock_wait(bound: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout TO {bound if bound == 'DEFAULT' else repr(bound)}")


def _earlier(record: IdempotencyRecord, values: dict[str, Any], now: datetime) -> tuple[IdempotencyRecord, bool]:
    if record.created_at <= now - REMEMBERED_FOR:
        fence = IdempotencyRecord.objects.filter(pk=record.pk, created_at=record.created_at)
        if not fence.update(object_ids=None, **values):
            raise InFlight
        return record, True
    if (record.call, record.digest) != (values["call"], values["digest"]):
        raise Mismatch
    if record.object_ids is None:
        raise InFlight
    return record, False
