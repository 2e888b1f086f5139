"""Sends webhooks: what is due is leased, written down as it will be sent, sent, and its answer kept."""

import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from ai_tasks import clock
from ai_tasks.errors import NotPossible
from ai_tasks.models import AIGenerationTask, WebhookDelivery, WebhookEndpoint
from ai_tasks.process import give_connection_back
from ai_tasks.representation import moment, task_json
from ai_tasks.webhooks import events, signing, wire
from ai_tasks.webhooks.events import RETRY_FOR
from ai_tasks.webhooks.wire import Answer, Letter

logger = logging.getLogger(__name__)

BATCH = 20
MOST_OF_AN_ENDPOINT = 4
"""How many of one endpoint are sent at once."""
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 12 * 3600.0
LOGGED_TRIES = 20
LONGEST_BODY = 256 * 1024
"""In characters; above it the task's input, then its output, is left out: whoever wants them asks for the task."""
KEPT = timedelta(days=30)
"""How long ended deliveries are kept, if the tasks' payloads are for as long."""
GONE = 410
NOT_BUILT = Answer(None, "not_built", "", "", 0)

Jitter = Callable[[float, float], float]
_jitter: Jitter = random.SystemRandom().uniform


def send_due(now: datetime, *, jitter: Jitter = _jitter) -> int:
    """
    Send what is due, of each endpoint a few at once, in one bounded batch; return how many were sent.

    Any number of senders may do so at once: each delivery is leased by a compare-and-set. One that dies loses its
    leases, and what it had sent may come twice: the receiver knows it by its id.
    """
    WebhookDelivery.objects.overdue(now).update(state=WebhookDelivery.State.FAILED, ended_at=now)
    due = WebhookDelivery.objects.due(now).at_most(MOST_OF_AN_ENDPOINT).select_related("endpoint")[:BATCH]
    mine = [each for each in due if WebhookDelivery.objects.claim(each, now)]
    letters = {delivery: letter for delivery in mine if (letter := _letter(delivery, now))}
    give_connection_back()
    answers = dict(zip(letters, wire.post_all([*letters.values()]) if letters else (), strict=True))
    for delivery in mine:
        _note(delivery, answers.get(delivery, NOT_BUILT), now, jitter)
    return len(mine)


def _letter(delivery: WebhookDelivery, now: datetime) -> Letter | None:
    """Return what is to be posted; None: it cannot be built, which is no reason to keep others back."""
    try:
        write_down(delivery)
    except Exception:
        logger.exception("Webhook delivery %s could not be written down.", delivery.pk)
        return None
    body = delivery.body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Tasuki-Webhooks",
        **signing.headers(delivery.endpoint, delivery.pk, body, now),
    }
    return Letter(delivery.callback_url or delivery.endpoint.url, headers, body)


def write_down(delivery: WebhookDelivery) -> None:
    """Store what the delivery says, if that is not done: from then on it is the same, byte for byte."""
    if delivery.body or delivery.task_id is None:
        return
    delivery.body = _body_about(delivery, AIGenerationTask._base_manager.get(pk=delivery.task_id))
    if not WebhookDelivery.objects.filter(pk=delivery.pk, body="").update(body=delivery.body):
        # Whoever tried the task again has: what we saw may be the new try already.
        delivery.refresh_from_db(fields=["body"])


def write_down_all(task_id: UUID) -> None:
    """Store what is yet to be told of a task's end, before the task changes. Part of the caller's transaction."""
    for delivery in WebhookDelivery.objects.filter(task=task_id, body=""):
        write_down(delivery)


def _body_about(delivery: WebhookDelivery, task: AIGenerationTask) -> str:
    document, omitted = task_json(task), []
    text = events.body(delivery.event, delivery.happened_at, document)
    for member in ("input", "output"):
        if len(text) > LONGEST_BODY:
            document[member] = None
            omitted.append(member)
            text = events.body(delivery.event, delivery.happened_at, document, tuple(omitted))
    return text


@transaction.atomic
def _note(delivery: WebhookDelivery, answer: Answer, now: datetime, jitter: Jitter) -> None:
    """Write what came of a try, fenced by its number; a delivery that was leased again since stays as it is."""
    is_taken = answer.status is not None and 200 <= answer.status < 300
    tried = {"at": moment(now), "status": answer.status, "error": answer.error, "response": answer.response}
    log = [*delivery.log, {**tried, "took_ms": answer.took_ms}][-LOGGED_TRIES:]
    values: dict[str, Any] = {"leased_until": None, "log": log}
    again_at = now + timedelta(seconds=_wait_seconds(delivery.tries, answer, jitter))
    if is_taken or answer.status == GONE or again_at > delivery.retry_until:
        values |= {"state": "delivered" if is_taken else "failed", "ended_at": now}
    else:
        values |= {"due_at": again_at}
    mine = WebhookDelivery.objects.pending().filter(pk=delivery.pk, tries=delivery.tries + 1)
    if mine.update(**values) and answer.status == GONE:
        _disable(delivery.endpoint)


def _wait_seconds(tries: int, answer: Answer, jitter: Jitter) -> float:
    """Full jitter below a bound that doubles from ten seconds to twelve hours, above any `Retry-After`."""
    asked = answer.retry_after.strip()
    floor = float(asked) if asked.isascii() and asked.isdigit() and len(asked) <= 6 else 0.0
    bound = min(FIRST_WAIT_SECONDS * 2 ** min(tries, 20), LONGEST_WAIT_SECONDS)
    return max(jitter(0.0, bound), min(floor, LONGEST_WAIT_SECONDS))


def _disable(endpoint: WebhookEndpoint) -> None:
    """Turn off an endpoint that says it is gone; of callback URLs each is its own, and their signer stays."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk, is_enabled=True).exclude(url="").update(
        is_enabled=False, disabled_reason="It answered 410 Gone."
    )


def resend(delivery: WebhookDelivery, *, now: datetime | None = None) -> WebhookDelivery:
    """
    Send a delivery again, with the same id and body, and for three days until it is taken; return it fresh.

    One that is pending is only hurried. Raises NotPossible where its endpoint is off.
    """
    if not delivery.endpoint.is_enabled:
        raise NotPossible("Its endpoint is turned off.")
    now = now or clock.now()
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=WebhookDelivery.State.PENDING, due_at=now, retry_until=now + RETRY_FOR, ended_at=None
    )
    return WebhookDelivery.objects.select_related("endpoint").get(pk=delivery.pk)


def forget_old(now: datetime) -> int:
    """Delete what ended long ago; return how many."""
    old = WebhookDelivery.objects.filter(ended_at__lt=now - min(KEPT, settings.AI_KEEP_PAYLOADS))
    return old.delete()[0]
