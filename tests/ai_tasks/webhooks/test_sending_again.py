"""What was not taken is sent again, later and later, for three days; and whoever dies is replaced."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from ai_tasks import courier, endpoints, submission
from ai_tasks.models import WebhookDelivery, WebhookEndpoint
from ai_tasks.sweeps import time_out
from ai_tasks.webhooks import events
from ai_tasks.webhooks.wire import Answer
from tests.ai_tasks.webhooks.conftest import delivery, ended
from tests.ai_tasks.webhooks.receiver import Receiver
from tests.engine import NOW, at, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


def longest(_least: float, most: float) -> float:
    return most


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
