"""What is due is sent, signed, until it is taken; each once, unless a sender dies."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import clock, courier, endpoints, submission, tasks
from ai_tasks.models import AIGenerationTask, WebhookDelivery, WebhookEndpoint
from ai_tasks.sweeps import time_out
from ai_tasks.webhooks import events, signing
from ai_tasks.webhooks.wire import Answer
from tests.ai_tasks.webhooks.conftest import delivery
from tests.ai_tasks.webhooks.receiver import Receiver, is_signed
from tests.engine import NOW, answer, at, at_once, claimed, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


def ended(owner: User, **wish: Any) -> AIGenerationTask:
    task = text_task(owner, **wish)
    AIGenerationTask.objects.complete(task.pk, claimed().epoch, answer(), now=at(1))
    return fresh(task)


def longest(_least: float, most: float) -> float:
    return most


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


def test_it_is_sent_again_later_and_later_with_the_same_id_and_body(
    alice: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.answers = [(500, {}, b"oh"), (503, {}, b""), (200, {}, b"ok")]
    ended(alice)

    assert courier.send_due(at(2), jitter=longest) == 1
    assert courier.send_due(at(11), jitter=longest) == 0, "not before its time"
    assert courier.send_due(at(12), jitter=longest) == 1
    assert courier.send_due(at(31), jitter=longest) == 0
    assert courier.send_due(at(32), jitter=longest) == 1

    assert {(each.headers["webhook-id"], each.body) for each in receiver.received} == {
        (str(delivery().pk), delivery().body.encode())
    }
    assert [each["status"] for each in delivery().log] == [500, 503, 200]
    assert delivery().log[0]["response"] == "oh"
    assert delivery().state == "delivered"


def test_it_is_given_up_after_three_days(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.answers = [(500, {}, b"")]
    ended(alice)
    now, moments = at(2), []
    while (found := delivery()).state == "pending":
        now = max(now, found.due_at)
        moments.append(now)
        assert courier.send_due(now, jitter=longest) == 1

    assert found.state == "failed"
    assert timedelta(days=2.4) < moments[-1] - moments[0] <= timedelta(days=3)
    assert 12 < len(moments) < 30
    assert len(found.log) <= courier.LOGGED_TRIES


def test_a_wait_that_was_asked_for_is_kept(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "3600"}, b"")]
    ended(alice)

    courier.send_due(at(2))

    assert delivery().due_at == at(3602)


def test_an_endpoint_that_is_gone_is_turned_off(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.answers = [(410, {}, b"")]
    ended(alice)

    courier.send_due(at(2))

    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.disabled_reason) == (False, "It answered 410 Gone.")
    assert delivery().state == "failed"


def test_a_callback_that_is_gone_does_not_turn_the_others_off(alice: User, receiver: Receiver) -> None:
    receiver.answers = [(410, {}, b""), (204, {}, b"")]
    ended(alice, callback_url=receiver.url)
    courier.send_due(at(2))
    ended(alice, callback_url=receiver.url)

    courier.send_due(at(3))

    assert [each.state for each in WebhookDelivery.objects.order_by("pk")] == ["failed", "delivered"]


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


def test_where_nobody_listens_it_is_tried_again(alice: User, receiver: Receiver) -> None:
    endpoints.create(alice, NOW, url="http://127.0.0.1:1/hook")
    ended(alice)

    courier.send_due(at(2))

    assert (delivery().state, delivery().log[0]["error"]) == ("pending", "no_connection")


def test_a_delivery_whose_sender_died_is_sent_by_the_next(
    alice: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    ended(alice)
    assert WebhookDelivery.objects.claim(delivery(), at(2)), "and then its process is killed"

    assert courier.send_due(at(30)) == 0
    assert courier.send_due(at(63)) == 1

    assert (len(receiver.received), delivery().state, delivery().tries) == (1, "delivered", 2)


def test_a_sender_that_comes_back_too_late_changes_nothing(
    alice: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    ended(alice)
    stale = delivery()
    assert WebhookDelivery.objects.claim(stale, at(2))
    courier.send_due(at(63))

    courier._note(stale, Answer(500, "", "", "", 1), at(64), longest)

    assert (delivery().state, delivery().tries, len(delivery().log)) == ("delivered", 2, 1)


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


def test_what_waits_for_an_endpoint_that_is_off_waits_until_it_is_on_or_too_old(
    alice: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    ended(alice)
    endpoints.change(endpoint, is_enabled=False)
    assert courier.send_due(at(2)) == 0
    endpoints.change(endpoint, is_enabled=True)
    assert courier.send_due(at(3)) == 1
    events.ping(endpoint, at(4))
    endpoints.change(endpoint, is_enabled=False)

    courier.send_due(at(5) + timedelta(days=3))

    assert sorted(WebhookDelivery.objects.values_list("state", flat=True)) == ["delivered", "failed"]


def test_a_large_task_is_told_without_its_input(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    ended(alice, prompt="川" * 300_000)

    courier.send_due(at(2))

    event = receiver.received[0].event
    assert event["omitted"] == ["input"]
    assert (event["data"]["input"], event["data"]["output"]["text"]) == (None, "The Rhine.")


def test_a_delivered_one_can_be_sent_again(alice: User, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    ended(alice)
    courier.send_due(at(2))

    courier.resend(delivery(), now=at(100))
    courier.send_due(at(100))

    first, second = receiver.received
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert (delivery().state, delivery().tries) == ("delivered", 2)


def test_what_was_written_down_before_a_retry_is_what_is_sent(
    alice: User, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    task = text_task(alice, deadline_seconds=1)
    time_out(at(5))
    stale = delivery()
    submission.retry(fresh(task), now=at(6))

    courier.write_down(stale)

    assert '"status":"timed_out"' in stale.body


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
