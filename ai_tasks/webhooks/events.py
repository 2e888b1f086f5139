"""What can be told, and the deliveries it makes: rows of the transaction in which it happened."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ai_tasks.webhooks import signing
from ai_tasks.webhooks.models import WebhookDelivery, WebhookEndpoint
from providers.types import storable
from queueing.statements import Param, Select

TASK_EVENTS = ("task.completed", "task.failed", "task.cancelled", "task.timed_out")
OPERATOR_EVENTS = ("budget.alarm", "alert.raised", "alert.cleared")
"""Told to endpoints of the staff only."""
TEST_EVENT = "webhook.test"
RETRY_FOR = timedelta(days=3)

_hearing = Select(lambda: WebhookEndpoint.objects.hearing(Param("event")).filter(owner=Param("owner")))


def task_ended(task: Any, status: str, now: datetime) -> None:
    """
    Note a delivery for every endpoint that hears of this end, and for the task's callback URL.

    Part of the settling transaction: told exactly if it ended. An end is known by the task's version, which grows when
    a dead task is tried again.
    """
    event, source = f"task.{status}", f"task:{task.pk}:{task.version}"
    if event not in TASK_EVENTS:
        return
    # Settlement has asked already whether anybody listens.
    heard_by = _hearing.rows(owner=task.owner_id, event=event) if getattr(task, "is_heard", True) else []
    rows = [_row(each, event, source, now) for each in heard_by]
    if task.callback_url:
        rows.append(_row(signer_of(task.owner_id, now), event, source, now, callback_url=task.callback_url))
    for row in rows:
        row.task_id = task.pk
    if rows:
        WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)


def happened(event: str, source: str, data: Mapping[str, Any], now: datetime) -> None:
    """Note a delivery of an operators' event for each of the staff's endpoints. Part of the caller's transaction."""
    endpoints = WebhookEndpoint.objects.hearing(event).filter(owner__is_staff=True, owner__is_active=True)
    text = body(event, now, data)
    rows = [_row(each, event, source, now, body=text) for each in endpoints]
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)


def ping(endpoint: WebhookEndpoint, now: datetime) -> WebhookDelivery:
    """Note a delivery that only says that the way is open."""
    row = _row(endpoint, TEST_EVENT, "", now)
    row.source = f"test:{row.pk}"
    row.body = body(TEST_EVENT, now, {"object": "webhook_endpoint", "id": str(endpoint.pk)})
    row.save(force_insert=True)
    return row


def signer_of(owner_id: int, now: datetime) -> WebhookEndpoint:
    """Return the endpoint that signs the user's callbacks; made when it is first needed."""
    new = {"salt": signing.new_salt(), "created_at": now}
    return WebhookEndpoint.objects.get_or_create(owner_id=owner_id, url="", defaults=new)[0]


def body(event: str, at: datetime, data: Mapping[str, Any], omitted: tuple[str, ...] = ()) -> str:
    """Return what is sent: compact JSON, which is signed as it stands."""
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"type": event, "timestamp": moment, "data": data, "omitted": list(omitted)}
    return storable(json.dumps(told, ensure_ascii=False, separators=(",", ":")))


def _row(endpoint: WebhookEndpoint, event: str, source: str, now: datetime, **more: Any) -> WebhookDelivery:
    times = {"happened_at": now, "due_at": now, "retry_until": now + RETRY_FOR}
    return WebhookDelivery(endpoint=endpoint, event=event, source=source, **times, **more)
