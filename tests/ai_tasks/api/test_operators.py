"""GET /api/v1/providers and GET /api/v1/queues."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from ai_tasks import clock, submission
from ai_tasks.submission import TaskRequest
from providers import control
from providers.models import ProviderLimit
from queueing.models import TaskQueue
from tests.engine import claimed, several

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    """Return the client, logged in as staff."""
    client.force_login(User.objects.create_user("carol", is_staff=True))
    return client


@pytest.mark.parametrize("path", ["/api/v1/providers", "/api/v1/queues"])
def test_only_staff_with_the_scope_may_look(
    client: Client, bob: User, key_of: Any, assert_problem: Any, path: str
) -> None:
    assert_problem(client.get(path), 401, "not_authenticated")
    assert_problem(client.get(path, headers={"Authorization": f"Bearer {key_of(bob)}"}), 403, "permission_denied")
    User.objects.update(is_staff=True)
    narrow = {"Authorization": f"Bearer {key_of(bob, scopes=['tasks'])}"}
    assert_problem(client.get(path, headers=narrow), 403, "permission_denied")
    assert client.get(path, headers={"Authorization": f"Bearer {key_of(bob)}"}).status_code == 200


def test_providers_show_state_and_limits(operator: Client) -> None:
    until = clock.now() + timedelta(minutes=1)
    control.block("simulator", until=until, now=clock.now())

    body = operator.get("/api/v1/providers").json()

    simulator = next(each for each in body["data"] if each["id"] == "simulator")
    assert (body["object"], body["has_more"]) == ("list", False)
    assert simulator["state"] == "provider_retry_after"
    assert simulator["until"]
    assert [limit["model"] for limit in simulator["limits"]][:1] == [""]


def test_providers_show_what_is_used_and_what_is_left(operator: Client, alice: User) -> None:
    ProviderLimit.objects.filter(provider="simulator", model="").update(
        max_concurrency=3, requests_per_minute=10, tokens_per_minute=None
    )
    several(alice, 2)
    claimed(now=clock.now())

    body = operator.get("/api/v1/providers").json()

    whole = next(each for each in body["data"] if each["id"] == "simulator")["limits"][0]
    assert (whole["max_concurrency"], whole["requests_per_minute"], whole["tokens_per_minute"]) == (3, 10, None)
    assert (whole["used"]["slots"], whole["used"]["requests"]) == (1, 1)
    assert whole["headroom"] == {"slots": 2, "requests": 9, "tokens": None}


def test_providers_show_their_circuit_and_a_pause(operator: Client) -> None:
    control.trip("simulator", cause="unavailable", now=clock.now())

    def simulator() -> Any:
        body = operator.get("/api/v1/providers").json()
        return next(each for each in body["data"] if each["id"] == "simulator")

    tripped = simulator()
    assert (tripped["state"], tripped["circuit"]["state"], tripped["circuit"]["mode"]) == (
        "circuit_open",
        "open",
        "auto",
    )
    assert (tripped["circuit"]["cause"], bool(tripped["circuit"]["open_until"])) == ("unavailable", True)

    TaskQueue.objects.pause("simulator", reason="maintenance", now=clock.now())
    assert simulator()["state"] == "paused"


def test_queues_show_counts_and_pause(operator: Client, alice: User) -> None:
    submission.submit(alice, TaskRequest(type="text.generate", input={"prompt": "a"}))
    TaskQueue.objects.pause("simulator", reason="maintenance", now=clock.now())

    queue = next(each for each in operator.get("/api/v1/queues").json()["data"] if each["provider"] == "simulator")

    assert (queue["waiting"], queue["running"], queue["dead"], queue["is_paused"]) == (1, 0, 0, True)


@pytest.fixture
def chief(client: Client) -> Client:
    """Return the client, logged in as staff who may change queues."""
    carol = User.objects.create_user("carol", is_staff=True)
    carol.user_permissions.add(Permission.objects.get(codename="force_circuit"))
    client.force_login(carol)
    return client


def set_circuit(client: Client, body: dict[str, Any], provider: str = "simulator") -> Any:
    path = f"/api/v1/providers/{provider}/circuit"
    return client.post(path, json.dumps(body), content_type="application/json")


def test_an_operator_forces_a_circuit_and_gives_it_back(chief: Client) -> None:
    forced = set_circuit(chief, {"mode": "forced_open"}).json()
    free = set_circuit(chief, {"mode": "closed"}).json()

    assert (forced["state"], forced["circuit"]["mode"], forced["circuit"]["state"]) == (
        "circuit_open",
        "forced_open",
        "open",
    )
    assert (free["state"], free["circuit"]["mode"], free["circuit"]["state"]) == ("available", "auto", "closed")


def test_an_operator_forces_the_circuit_of_one_model(chief: Client) -> None:
    body = set_circuit(chief, {"mode": "forced_open", "model": "sim-1"}).json()

    assert (body["state"], body["circuit"]["state"]) == ("available", "closed")
    assert body["circuit"]["models"]["sim-1"]["mode"] == "forced_open"


def test_who_may_only_look_forces_nothing(operator: Client, assert_problem: Any) -> None:
    assert_problem(set_circuit(operator, {"mode": "forced_open"}), 403, "permission_denied")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/mode"),
        ({"mode": "ajar"}, "/mode"),
        ({"mode": "auto", "model": "a\u0000b"}, "/model"),
        ({"mode": "auto", "model": "x" * 121}, "/model"),
    ],
)
def test_a_wish_that_is_none_changes_nothing(chief: Client, assert_problem: Any, body: Any, pointer: str) -> None:
    assert_problem(set_circuit(chief, body), 422, "invalid_input", pointer)
    assert_problem(set_circuit(chief, {"mode": "auto"}, provider="nobody"), 404, "not_found")
