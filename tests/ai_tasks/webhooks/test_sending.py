"""What is due is sent, signed, until it is taken; each once, unless a sender dies."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from ai_tasks import clock, courier, endpoints, tasks
from ai_tasks.models import AIGenerationTask, WebhookDelivery, WebhookEndpoint
from ai_tasks.webhooks import events, signing
from tests.ai_tasks.webhooks.conftest import delivery, ended
from tests.ai_tasks.webhooks.receiver import Receiver, is_signed
from tests.engine import NOW, at, at_once

pytestmark = pytest.mark.usefixtures("providers_ready")


def test_it_is_posted_with_a_signature_that_others_can_verify(
    alice: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    task = ended(alice, metadata={"order": "5"})
    secret = signing.secret_of(endpoint.salt)

    assert courier.send_due(at(2)) == 1

    (request,) = receiver.received
    assert is_signed(request, secret, at=at(2).timestamp())
    assert not is_signed(request, signing.secret_of("other"), at=at(2).timestamp())
    assert request.headers["webhook-id"] == str(delivery().pk)
    assert request.headers["content-type"] == "application/json"
    assert (request.event["type"], request.event["timestamp"]) == ("task.completed", "2026-11-23T06:00:01.000Z")
    assert request.event["data"]["id"] == str(task.pk)
    assert request.event["data"]["output"]["text"] == "The Rhine."
    assert request.event["data"]["metadata"] == {"order": "5"}
    assert (delivery().state, delivery().tries, delivery().log[0]["status"]) == ("delivered", 1, 204)


def test_a_changed_body_does_not_verify(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    ended(alice)
    courier.send_due(at(2))
    (request,) = receiver.received

    request.body += b" "

    assert not is_signed(request, signing.secret_of(endpoint.salt), at=at(2).timestamp())


def test_the_secret_before_signs_too_for_a_day(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    old = signing.secret_of(endpoint.salt)
    assert endpoints.rotate(endpoint, NOW)
    endpoint.refresh_from_db()
    new = signing.secret_of(endpoint.salt)
    ended(alice)
    courier.send_due(at(2))
    courier.resend(delivery(), now=NOW + timedelta(hours=25))
    late = NOW + timedelta(hours=25, seconds=1)
    courier.send_due(late)

    within, after = receiver.received
    assert old != new
    assert [is_signed(within, secret, at=at(2).timestamp()) for secret in (old, new)] == [True, True]
    assert [is_signed(after, secret, at=late.timestamp()) for secret in (old, new)] == [False, True]


def test_a_callback_url_gets_it_signed_by_its_owners_signer(alice: User, receiver: Receiver) -> None:
    ended(alice, callback_url=f"{receiver.url}/of-this-task")

    courier.send_due(at(2))

    (request,) = receiver.received
    assert request.path == "/hook/of-this-task"
    assert is_signed(request, signing.secret_of(WebhookEndpoint.objects.get().salt), at=at(2).timestamp())


def test_a_redirect_is_not_followed(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.answers = [(302, {"Location": f"{receiver.url}/elsewhere"}, b"")]
    ended(alice)

    courier.send_due(at(2))

    assert [each.path for each in receiver.received] == ["/hook"]
    assert (delivery().state, delivery().log[0]["status"]) == ("pending", 302)


def test_no_more_of_an_answer_is_kept_than_fits_a_log(
    alice: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.answers = [(500, {}, b"\x00\xff" + b"x" * 5_000_000)]
    ended(alice)

    courier.send_due(at(2))

    assert delivery().log[0]["status"] == 500
    assert len(delivery().log[0]["response"]) <= 1024


@pytest.mark.django_db(transaction=True)
def test_a_doubled_message_sends_once(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    for _ in range(3):
        ended(alice)
    receiver.holding.clear()
    threading.Timer(0.5, receiver.holding.set).start()

    sent = at_once([lambda: courier.send_due(at(2))] * 4)

    assert sum(sent) == 3
    assert len({each.headers["webhook-id"] for each in receiver.received}) == len(receiver.received) == 3


@pytest.mark.django_db(transaction=True)
def test_the_celery_task_sends_what_is_due(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    events.ping(endpoint, clock.now())

    tasks.send_webhooks.apply(throw=True)

    assert receiver.received[0].event["type"] == "webhook.test"
    assert receiver.received[0].event["data"] == {"object": "webhook_endpoint", "id": str(endpoint.pk)}


def test_a_slow_endpoint_does_not_stand_before_others(
    alice: User, bob: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    for _ in range(30):
        events.ping(endpoint, NOW)
    events.ping(endpoints.create(bob, NOW, url=f"{receiver.url}/bob"), at(1))

    sent = courier.send_due(at(2))

    assert sent == courier.MOST_OF_AN_ENDPOINT + 1
    assert "/hook/bob" in {each.path for each in receiver.received}


def test_a_large_task_is_told_without_its_input(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    ended(alice, prompt="川" * 300_000)

    courier.send_due(at(2))

    event = receiver.received[0].event
    assert event["omitted"] == ["input"]
    assert (event["data"]["input"], event["data"]["output"]["text"]) == (None, "The Rhine.")


def test_one_that_cannot_be_built_does_not_keep_others_back(
    alice: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    broken, sound = ended(alice), ended(alice)
    AIGenerationTask.objects.filter(pk=broken.pk).update(route_policy=[])

    assert courier.send_due(at(2)) == 2

    assert [each.event["data"]["id"] for each in receiver.received] == [str(sound.pk)]
    failed = WebhookDelivery.objects.get(task=broken.pk)
    assert (failed.state, failed.log[0]["error"]) == ("pending", "not_built")


def test_half_a_character_is_replaced() -> None:
    assert events.body("webhook.test", NOW, {"a": "b\ud800"}).encode().decode().count("\ufffd") == 1


def test_old_deliveries_are_forgotten(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    ended(alice)
    courier.send_due(at(2))

    assert courier.forget_old(NOW + timedelta(days=29)) == 0
    assert courier.forget_old(NOW + timedelta(days=31)) == 1
