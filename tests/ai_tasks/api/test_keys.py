"""/api/v1/keys: made, bounded, rotated and revoked by their owner."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock, key_ring
from ai_tasks.access import keys
from ai_tasks.accounts import budgets
from ai_tasks.models import AIGenerationTask, ApiKey, Budget
from tests.ai_tasks.api.conftest import PROMPT
from tests.engine import at_once

pytestmark = pytest.mark.django_db

Call = Callable[..., Any]


@pytest.fixture
def signed_in(client: Client, alice: User) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


@pytest.fixture
def call(signed_in: Client) -> Call:
    """Return a function that calls below /api/v1/ as alice: by her browser, or with a key."""

    def send(method: str, path: str, body: Any = None, *, key: str = "", **headers: str) -> Any:
        caller = Client() if key else signed_in
        sent = headers | ({"Authorization": f"Bearer {key}"} if key else {})
        return getattr(caller, method)(f"/api/v1/{path}", body, content_type="application/json", headers=sent)

    return send


def made(call: Call, **body: Any) -> Any:
    response = call("post", "keys", {"name": "mine", **body})
    assert response.status_code == 201, response.content
    return response.json()


def works(call: Call, text: str) -> bool:
    return bool(call("get", "tasks", key=text).status_code == 200)


def test_a_new_key_works_and_its_text_is_shown_once(call: Call, alice: User) -> None:
    response = call("post", "keys", {"name": "laptop"})

    key = response.json()
    assert response["Cache-Control"] == "no-store"
    assert works(call, key["key"])
    assert key["prefix"] == key["key"][:12]
    assert (key["state"], key["scopes"], key["priority_ceiling"]) == ("active", ["tasks", "chat", "operations"], "high")
    seen = call("get", response["Location"].removeprefix("/api/v1/")).content + call("get", "keys").content
    assert key["key"].encode() not in seen
    assert key["key"] not in str(ApiKey.objects.values().get())


def test_sent_again_it_is_the_same_key_without_its_text(call: Call) -> None:
    first = call("post", "keys", {"name": "laptop"}, **{"Idempotency-Key": "k"})
    second = call("post", "keys", {"name": "laptop"}, **{"Idempotency-Key": "k"})

    assert second["Idempotency-Replayed"] == "true"
    assert second.json() == first.json() | {"key": None}
    assert ApiKey.objects.count() == 1


def test_a_key_is_good_for_its_scopes_alone(call: Call) -> None:
    key = made(call, scopes=["chat"])["key"]

    assert call("get", "chat/sessions", key=key).status_code == 200
    assert call("get", "tasks", key=key).status_code == 403
    assert call("get", "keys", key=key).status_code == 403


def test_a_rotated_key_keeps_its_old_text_for_a_while(call: Call) -> None:
    key = made(call, scopes=["tasks"], budget={"limit_usd": "5"})

    rotated = call("post", f"keys/{key['id']}/rotate", {"overlap_seconds": 60}).json()

    now = clock.now()
    assert rotated["id"] == key["id"]
    assert rotated["key"] != key["key"]
    assert rotated["budget"]["limit_usd"] == "5"
    assert works(call, rotated["key"])
    assert keys.authenticate(key["key"], now + timedelta(seconds=50)) is not None
    assert keys.authenticate(key["key"], now + timedelta(seconds=61)) is None


def test_rotated_twice_the_first_text_is_worthless(call: Call) -> None:
    key = made(call)

    for _ in range(2):
        call("post", f"keys/{key['id']}/rotate", {})

    assert not works(call, key["key"])


def test_rotated_without_overlap_the_old_text_is_worthless_at_once(call: Call) -> None:
    key = made(call)

    call("post", f"keys/{key['id']}/rotate", {"overlap_seconds": 0})

    assert not works(call, key["key"])


def test_a_key_rotates_itself_whatever_its_scopes(call: Call) -> None:
    key = made(call, scopes=["tasks"], requests_per_minute=100)

    rotated = call("post", f"keys/{key['id']}/rotate", {}, key=key["key"])

    assert rotated.status_code == 200
    assert works(call, rotated.json()["key"])


def test_a_revoked_key_ends_at_once_and_is_listed_for_a_month(call: Call, alice: User) -> None:
    key = made(call)

    for _ in range(2):
        assert call("post", f"keys/{key['id']}/revoke").json()["state"] == "revoked"

    assert not works(call, key["key"])
    assert call("post", f"keys/{key['id']}/rotate", {}).status_code == 409
    assert [each["id"] for each in call("get", "keys").json()["data"]] == [key["id"]]
    assert not key_ring.of_user(alice, clock.now() + timedelta(days=31)).exists()


@pytest.mark.parametrize(
    "wanted",
    [
        {"scopes": ["operations"]},
        {"scopes": ["tasks"], "priority_ceiling": "high"},
        {"scopes": ["tasks"], "expires_at": f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}"},
    ],
)
def test_a_key_makes_none_that_may_more_than_itself(call: Call, alice: User, key_of: Any, wanted: Any) -> None:
    soon = clock.now() + timedelta(days=1)
    maker = key_of(alice, scopes=["tasks", "keys"], priority_ceiling=2, expires_at=soon)

    assert call("post", "keys", {"name": "child", **wanted}, key=maker).status_code == 403
    assert ApiKey.objects.count() == 1
    child = call("post", "keys", {"name": "child"}, key=maker).json()
    assert (child["scopes"], child["priority_ceiling"]) == (["tasks"], "normal")
    assert child["expires_at"] is not None


def test_a_key_does_not_take_over_one_that_may_more(call: Call, alice: User, key_of: Any) -> None:
    mighty = made(call, scopes=["tasks", "chat", "operations", "keys"])
    maker = key_of(alice, scopes=["tasks", "keys"])

    for act, body in (("rotate", {}), ("revoke", None)):
        assert call("post", f"keys/{mighty['id']}/{act}", body, key=maker).status_code == 403
    assert call("patch", f"keys/{mighty['id']}", {"name": "mine now"}, key=maker).status_code == 403
    assert works(call, mighty["key"])


def test_a_bounded_key_does_not_free_itself(call: Call) -> None:
    for bound in ({"requests_per_minute": 50}, {"budget": {"limit_usd": "1"}}):
        key = made(call, scopes=["tasks", "keys"], **bound)

        assert call("post", "keys", {"name": "child"}, key=key["key"]).status_code == 403
        freed = {"requests_per_minute": None, "budget": None}
        assert call("patch", f"keys/{key['id']}", freed, key=key["key"]).status_code == 403


def test_the_budget_of_a_key_bounds_its_tasks_alone(call: Call, alice: User) -> None:
    key = made(call, budget={"limit_usd": "0.000001", "interval": "day"})

    refused = call("post", "tasks", PROMPT, key=key["key"])
    granted = call("post", "tasks", PROMPT)

    assert (refused.status_code, refused.json()["code"]) == (402, "budget_exceeded")
    assert granted.status_code == 202
    assert AIGenerationTask.objects.get().api_key is None


def test_a_budget_is_raised_and_lifted(call: Call) -> None:
    key = made(call, budget={"limit_usd": "0.000001"})

    call("patch", f"keys/{key['id']}", {"budget": {"limit_usd": "10", "interval": "day", "time_zone": "Asia/Tokyo"}})
    task = call("post", "tasks", PROMPT, key=key["key"])
    lifted = call("patch", f"keys/{key['id']}", {"budget": None}).json()

    assert task.status_code == 202
    assert AIGenerationTask.objects.get().api_key_id == key["id"]
    assert lifted["budget"] is None
    assert not Budget.objects.filter(is_enabled=True).exists()


def test_the_budgets_of_ones_keys_are_listed(call: Call, alice: User, bob: User) -> None:
    made(call, budget={"limit_usd": "7"})
    other, _ = keys.create(bob, "other")
    wanted = {"limit_usd": Decimal(9), "interval": "month", "time_zone": "UTC"}
    budgets.bound_key(other.pk, wanted, clock.now())

    listed = call("get", "budgets").json()["data"]

    assert [(each["scope"], each["limit_usd"]) for each in listed] == [("api_key", "7")]


def test_messages_of_a_chat_are_bound_too(call: Call) -> None:
    key = made(call, scopes=["chat"], budget={"limit_usd": "0.000001"})["key"]
    session = call("post", "chat/sessions", {"title": "A"}, key=key).json()

    sent = call("post", f"chat/sessions/{session['id']}/messages", {"content": "Hello"}, key=key)

    assert (sent.status_code, sent.json()["code"]) == (402, "budget_exceeded")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a\x00"},
        {"name": "a", "scopes": []},
        {"name": "a", "scopes": ["root"]},
        {"name": "a", "scopes": "tasks"},
        {"name": "a", "priority_ceiling": "urgent!"},
        {"name": "a", "requests_per_minute": 0},
        {"name": "a", "requests_per_minute": True},
        {"name": "a", "requests_per_minute": 10**9},
        {"name": "a", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "a", "budget": {"limit_usd": 5}},
        {"name": "a", "budget": {"limit_usd": "5", "time_zone": "../etc/passwd"}},
        {"name": "a", "budget": {"limit_usd": "5", "interval": "eon"}},
        {"name": "a", "digest": "0" * 64},
    ],
)
def test_what_cannot_be_made_is_said(call: Call, body: Any) -> None:
    assert call("post", "keys", body).status_code in (400, 422)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("key_id", ["0", "-1", "x", "9" * 30, "1%00", "٣"])
def test_there_are_no_other_keys(call: Call, key_id: str) -> None:
    assert call("get", f"keys/{key_id}").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_of_two_rotations_at_once_each_text_that_was_given_out_works(alice: User) -> None:
    key, _ = keys.create(alice, "mine")

    texts = at_once([lambda: keys.rotate(key, clock.now())] * 3)

    given = [text for text in texts if isinstance(text, str)]
    assert len(given) == 1
    assert keys.authenticate(given[0], clock.now()) is not None


@pytest.mark.django_db(transaction=True)
def test_nobody_has_more_than_a_hundred(alice: User) -> None:
    for _ in range(key_ring.MOST_OF_A_USER - 1):
        keys.create(alice, "one of many")

    at_once([lambda: key_ring.create(alice, clock.now(), actor=None, name="last")] * 3)

    assert ApiKey.objects.count() == key_ring.MOST_OF_A_USER
