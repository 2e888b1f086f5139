"""GET /api/v1/providers and GET /api/v1/queues."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
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
