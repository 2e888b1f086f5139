"""A receiver, and an endpoint that tells it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import endpoints
from ai_tasks.models import AIGenerationTask, WebhookDelivery, WebhookEndpoint
from tests.ai_tasks.webhooks.receiver import Receiver, serve
from tests.engine import NOW, answer, at, claimed, fresh, text_task


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A real server on this machine, which webhooks may reach."""
    settings.AI_WEBHOOK_ALLOW_PRIVATE = True
    found = Receiver()
    server = serve(found)
    yield found
    found.holding.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def endpoint(alice: User, receiver: Receiver) -> WebhookEndpoint:
    """Alice's endpoint at the receiver, for all ends of her tasks."""
    return endpoints.create(alice, NOW, url=receiver.url)


def delivery() -> WebhookDelivery:
    """Return the only delivery there is."""
    return WebhookDelivery.objects.get()


def ended(owner: User, **wish: Any) -> AIGenerationTask:
    """Return a task that a worker has just completed."""
    task = text_task(owner, **wish)
    AIGenerationTask.objects.complete(task.pk, claimed().epoch, answer(), now=at(1))
    return fresh(task)
