"""Webhook endpoints and deliveries over HTTP."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock, endpoints
from ai_tasks.models import WebhookDelivery, WebhookEndpoint
from ai_tasks.webhooks import events, signing

pytestmark = pytest.mark.django_db
PATH = "/api/v1/webhook-endpoints"
URL = "https://example.com/hook"
Call = Callable[..., Any]


@pytest.fixture
def call(client: Client, headers: dict[str, str]) -> Call:
    """Return a function that calls an address as alice, or with the key of somebody else."""

    def send(method: str, path: str, body: Any = None, *, key: str = "", **more: str) -> Any:
        credentials = {"Authorization": f"Bearer {key}"} if key else headers
        extra = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(client, method)(path, headers=credentials | more, **extra)

    return send


def test_an_endpoint_is_made_and_its_secret_shown_once(call: Call) -> None:
    made = call("post", PATH, {"url": URL, "events": ["task.failed"], "description": "川"})

    body = made.json()
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    assert made["Location"] == f"{PATH}/{body['id']}"
    assert body["secret"] == signing.secret_of(WebhookEndpoint.objects.get().salt)
    shown = call("get", made["Location"]).json()
    assert shown == {name: value for name, value in body.items() if name != "secret"}
    assert (shown["url"], shown["events"], shown["description"]) == (URL, ["task.failed"], "川")
    assert call("get", PATH).json()["data"] == [shown]


def test_without_events_it_hears_all_ends_of_tasks(call: Call) -> None:
    made = call("post", PATH, {"url": URL}).json()

    assert made["events"] == sorted(events.TASK_EVENTS)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "ftp://example.com/"}, "/url"),
        ({"url": "https://user:word@example.com/"}, "/url"),
        ({"url": "http://127.0.0.1/"}, "/url"),
        ({"url": "http://2130706433/"}, "/url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "http://[::1]/"}, "/url"),
        ({"url": "https://exa\x00mple.com/"}, ""),
        ({"url": "https://example.com/" + "x" * 500}, "/url"),
        ({"url": 5}, "/url"),
        ({"url": URL, "events": []}, "/events"),
        ({"url": URL, "events": ["task.done"]}, "/events/0"),
        ({"url": URL, "events": "task.failed"}, "/events"),
        ({"url": URL, "events": ["budget.alarm"]}, "/events"),
        ({"url": URL, "secret": "mine"}, "/secret"),
        ([], ""),
    ],
)
def test_a_wrong_wish_says_where_and_makes_nothing(call: Call, body: Any, pointer: str) -> None:
    answer = call("post", PATH, body)

    assert answer.status_code in (400, 422)
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)
    assert not WebhookEndpoint.objects.exists()


def test_a_tasks_callback_url_must_be_public(post: Any, assert_problem: Any) -> None:
    wish = {"type": "text.generate", "input": {"prompt": "a"}, "callback_url": "http://10.0.0.1/"}

    assert_problem(post(wish), 422, "invalid_input", "/callback_url")


def test_the_staff_may_hear_of_budgets_and_alerts(call: Call, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)

    assert call("post", PATH, {"url": URL, "events": ["budget.alarm", "alert.raised"]}).status_code == 201


def test_there_are_twenty_at_most(call: Call, alice: User, assert_problem: Any) -> None:
    for _ in range(endpoints.MOST_OF_A_USER):
        endpoints.create(alice, clock.now(), url=URL)

    assert_problem(call("post", PATH, {"url": URL}), 409, "not_possible")


def test_there_is_one_signer_of_callbacks(call: Call, assert_problem: Any) -> None:
    made = call("post", PATH, {})

    assert (made.status_code, made.json()["url"]) == (201, None)
    assert_problem(call("post", PATH, {}), 409, "not_possible")
    assert_problem(call("patch", f"{PATH}/{made.json()['id']}", {"url": URL}), 409, "not_possible")
    assert_problem(call("post", f"{PATH}/{made.json()['id']}/test"), 409, "not_possible")


def test_a_create_call_that_is_sent_again_makes_no_second(call: Call) -> None:
    first = call("post", PATH, {"url": URL}, **{"Idempotency-Key": "once"})
    second = call("post", PATH, {"url": URL}, **{"Idempotency-Key": "once"})

    assert first.json() == second.json()
    assert (second["Idempotency-Replayed"], WebhookEndpoint.objects.count()) == ("true", 1)


def test_an_endpoint_is_changed_and_deleted(call: Call) -> None:
    path = call("post", PATH, {"url": URL})["Location"]

    changed = call("patch", path, {"url": f"{URL}/2", "events": ["task.cancelled"], "is_enabled": False}).json()

    assert (changed["url"], changed["events"], changed["is_enabled"]) == (f"{URL}/2", ["task.cancelled"], False)
    assert call("delete", path).status_code == 204
    assert call("get", path).status_code == 404


def test_a_rotated_secret_is_another_and_the_old_one_signs_for_a_day(call: Call) -> None:
    made = call("post", PATH, {"url": URL})

    rotated = call("post", f"{made['Location']}/rotate-secret").json()

    assert rotated["secret"] != made.json()["secret"]
    assert rotated["old_secret_until"] is not None


def test_a_test_event_is_a_delivery_like_any_other(call: Call) -> None:
    path = call("post", PATH, {"url": URL})["Location"]

    sent = call("post", f"{path}/test")

    assert (sent.status_code, sent.json()["event"], sent.json()["state"]) == (202, "webhook.test", "pending")
    assert call("get", "/api/v1/webhook-deliveries?event=webhook.test&state=pending").json()["data"] == [sent.json()]
    assert call("get", f"/api/v1/webhook-deliveries/{sent.json()['id']}").json() == sent.json()
    assert call("get", "/api/v1/webhook-deliveries?state=failed").json()["data"] == []


def test_a_delivery_can_be_sent_again_unless_its_endpoint_is_off(call: Call, alice: User, assert_problem: Any) -> None:
    endpoint = endpoints.create(alice, clock.now(), url=URL)
    delivery = events.ping(endpoint, clock.now())
    WebhookDelivery.objects.update(state="failed", ended_at=clock.now())
    path = f"/api/v1/webhook-deliveries/{delivery.pk}/resend"

    assert (call("post", path).status_code, WebhookDelivery.objects.get().state) == (202, "pending")
    endpoints.change(endpoint, is_enabled=False)
    assert_problem(call("post", path), 409, "not_possible")


@pytest.mark.parametrize("query", ["state=lost", "event=x", "endpoint=5", "task=%00", "colour=red", "limit=0"])
def test_a_wrong_filter_is_refused(call: Call, query: str) -> None:
    assert call("get", f"/api/v1/webhook-deliveries?{query}").status_code == 422


@pytest.mark.parametrize("is_staff", [False, True])
@pytest.mark.parametrize(
    ("method", "suffix"),
    [("get", ""), ("patch", ""), ("delete", ""), ("post", "/rotate-secret"), ("post", "/test"), ("post", "/resend")],
)
def test_another_persons_are_as_missing_as_none(
    call: Call, alice: User, bob: User, key_of: Any, method: str, suffix: str, is_staff: bool
) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=is_staff)
    endpoint = endpoints.create(alice, clock.now(), url=URL)
    delivery = events.ping(endpoint, clock.now())
    place, pk = ("/api/v1/webhook-deliveries", delivery.pk) if suffix == "/resend" else (PATH, endpoint.pk)
    body = {"is_enabled": False} if method == "patch" else None

    theirs = call(method, f"{place}/{pk}{suffix}", body, key=key_of(bob), **{"X-Request-Id": "same"})
    nothing = call(method, f"{place}/{uuid4()}{suffix}", body, key=key_of(bob), **{"X-Request-Id": "same"})

    assert (theirs.status_code, theirs.content) == (404, nothing.content)
    assert WebhookEndpoint.objects.get().is_enabled
    assert WebhookDelivery.objects.count() == 1


def test_another_persons_are_not_listed(call: Call, alice: User, bob: User, key_of: Any) -> None:
    endpoint = endpoints.create(alice, clock.now(), url=URL)
    events.ping(endpoint, clock.now())

    for path in (PATH, "/api/v1/webhook-deliveries", f"/api/v1/webhook-deliveries?endpoint={endpoint.pk}"):
        assert call("get", path, key=key_of(bob)).json()["data"] == []


def test_a_key_without_the_scope_is_refused(call: Call, alice: User, key_of: Any) -> None:
    assert call("get", PATH, key=key_of(alice, scopes=["chat"])).status_code == 403
