"""What an owner may do with webhook endpoints."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from ai_tasks.errors import InvalidInput, Mistake, NotPossible
from ai_tasks.models import WebhookEndpoint, WebhookSubscription
from ai_tasks.webhooks import signing
from ai_tasks.webhooks.events import OPERATOR_EVENTS, TASK_EVENTS

MOST_OF_A_USER = 20


@transaction.atomic
def create(
    owner: User, now: datetime, *, url: str = "", events: Iterable[str] = TASK_EVENTS, description: str = ""
) -> WebhookEndpoint:
    """
    Make an endpoint and return it; without a URL, the one that signs callbacks.

    Raises InvalidInput where an event is for operators only, NotPossible beyond twenty and for a second signer.
    """
    wanted = _allowed(owner, events)
    # The owner's row keeps two calls at once from passing the bound together.
    User.objects.select_for_update().get(pk=owner.pk)
    mine = WebhookEndpoint.objects.filter(owner=owner)
    if mine.count() >= MOST_OF_A_USER:
        raise NotPossible(f"There are {MOST_OF_A_USER} endpoints already: delete one first.")
    if not url and mine.filter(url="").exists():
        raise NotPossible("There is one that signs callbacks already: rotate its secret to learn a new one.")
    made = WebhookEndpoint.objects.create(
        owner=owner, url=url, description=description, salt=signing.new_salt(), created_at=now
    )
    _subscribe(made, wanted if url else set(TASK_EVENTS))
    return made


@transaction.atomic
def change(
    endpoint: WebhookEndpoint, *, url: str | None = None, events: Iterable[str] | None = None, **values: Any
) -> None:
    """Change what is given (`description`, `is_enabled` too); raises as `create`."""
    if not endpoint.url and (url is not None or events is not None):
        raise NotPossible("What signs callbacks has neither URL nor events of its own.")
    if events is not None:
        wanted = _allowed(endpoint.owner, events)
        endpoint.subscriptions.exclude(event__in=wanted).delete()
        _subscribe(endpoint, wanted)
    if url is not None:
        values["url"] = url
    if values.get("is_enabled"):
        values["disabled_reason"] = ""
    if values:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**values)


def rotate(endpoint: WebhookEndpoint, now: datetime) -> bool:
    """Give the endpoint another secret; the one before signs too for a day. False: somebody else did at that moment."""
    same = WebhookEndpoint.objects.filter(pk=endpoint.pk, salt=endpoint.salt)
    return bool(same.update(salt=signing.new_salt(), old_salt=endpoint.salt, old_salt_until=now + signing.OVERLAP))


def _allowed(owner: User, events: Iterable[str]) -> set[str]:
    wanted = set(events)
    if (forbidden := sorted(wanted & set(OPERATOR_EVENTS))) and not owner.is_staff:
        mistake = Mistake("/events", f"for operators only: {', '.join(forbidden)}")
        raise InvalidInput("These events are not for you.", errors=(mistake,))
    return wanted


def _subscribe(endpoint: WebhookEndpoint, events: Iterable[str]) -> None:
    rows = [WebhookSubscription(endpoint=endpoint, event=event) for event in sorted(events)]
    WebhookSubscription.objects.bulk_create(rows, ignore_conflicts=True)
