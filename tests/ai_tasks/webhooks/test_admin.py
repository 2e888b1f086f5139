"""Webhooks in admin: looked at, and sent again by whoever may."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from ai_tasks import clock, endpoints
from ai_tasks.models import WebhookDelivery
from ai_tasks.webhooks import events, signing

LIST = "admin:ai_tasks_webhookdelivery_changelist"


@pytest.fixture
def failed(alice: User) -> WebhookDelivery:
    """A delivery of alice's that was given up."""
    delivery = events.ping(endpoints.create(alice, clock.now(), url="https://example.com/hook"), clock.now())
    WebhookDelivery.objects.update(state="failed", ended_at=clock.now(), log=[{"status": 500, "response": "<b>no</b>"}])
    return delivery


def operator(client: Client, *permissions: str) -> None:
    person = User.objects.create_user("carol", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(person)


def resend(client: Client, delivery: WebhookDelivery) -> str:
    client.post(reverse(LIST), {"action": "resend", "_selected_action": [str(delivery.pk)]})
    return WebhookDelivery.objects.get().state


def test_an_operator_sends_a_delivery_again(client: Client, failed: WebhookDelivery) -> None:
    operator(client, "view_webhookdelivery", "change_webhookdelivery")

    assert resend(client, failed) == "pending"


def test_who_may_only_look_does_not(client: Client, failed: WebhookDelivery) -> None:
    operator(client, "view_webhookdelivery")

    assert resend(client, failed) == "failed"


def test_the_pages_show_the_tries_and_no_secret(client: Client, failed: WebhookDelivery) -> None:
    operator(client, "view_webhookdelivery", "view_webhookendpoint", "view_payloads")
    endpoint = failed.endpoint

    delivery = client.get(reverse("admin:ai_tasks_webhookdelivery_change", args=[failed.pk])).content.decode()
    page = client.get(reverse("admin:ai_tasks_webhookendpoint_change", args=[endpoint.pk])).content.decode()

    assert "500" in delivery
    assert "webhook.test" in delivery
    assert "<b>no</b>" not in delivery
    assert "https://example.com/hook" in page
    assert endpoint.salt not in page
    assert signing.secret_of(endpoint.salt) not in page


def test_who_may_not_see_payloads_does_not_see_what_was_sent(client: Client, failed: WebhookDelivery) -> None:
    operator(client, "view_webhookdelivery")

    page = client.get(reverse("admin:ai_tasks_webhookdelivery_change", args=[failed.pk])).content.decode()

    assert "field-state" in page
    assert "field-body" not in page
    assert "field-log" not in page
