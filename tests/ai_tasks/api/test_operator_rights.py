"""Who may look at queues and dead letters, and who may change them."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from queueing.models import Redrive, TaskQueue
from tests.ai_tasks.api.operator import CHANGES, LOOKS, call, carol

__all__ = ["call", "carol"]

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", LOOKS)
def test_only_staff_with_the_scope_may_look(
    client: Client, bob: User, key_of: Any, assert_problem: Any, path: str
) -> None:
    def look(**options: Any) -> Any:
        return client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {key_of(bob, **options)}"})

    assert_problem(client.get(f"/api/v1{path}"), 401, "not_authenticated")
    assert_problem(look(), 403, "permission_denied")
    User.objects.update(is_staff=True)
    assert_problem(look(scopes=["tasks"]), 403, "permission_denied")
    assert look().status_code == 200


@pytest.mark.parametrize("path", CHANGES)
def test_only_who_has_the_permission_may_change(
    client: Client, bob: User, key_of: Any, assert_problem: Any, path: str
) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    headers = {"Authorization": f"Bearer {key_of(bob)}"}
    body = {"filter": {}, "reason": "x"} if "queues" not in path else {"reason": "x"}

    answer = client.post(f"/api/v1{path}", body, content_type="application/json", headers=headers)

    assert_problem(answer, 403, "permission_denied")
    assert not TaskQueue.objects.filter(paused_at__isnull=False).exists()
    assert not Redrive.objects.exists()


def test_by_session_a_change_needs_the_token(carol: User, assert_problem: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(carol)

    answer = client.post("/api/v1/queues/simulator/pause", {"reason": "x"}, content_type="application/json")

    assert_problem(answer, 403, "csrf_failed")


@pytest.mark.parametrize(
    "path", ["/queues/nobody", "/queues/nobody/entries", "/queues/%00", "/dead-letters/1", "/redrives/x"]
)
def test_what_is_not_there_is_not_found(call: Any, assert_problem: Any, path: str) -> None:
    assert_problem(call("get", path), 404, "not_found")


@pytest.mark.parametrize("verb", ["pause", "resume", "reorder"])
def test_an_unknown_provider_is_not_found(call: Any, assert_problem: Any, verb: str) -> None:
    body = {"reason": "x"} if verb == "pause" else {}

    assert_problem(call("post", f"/queues/nobody/{verb}", body), 404, "not_found")
    assert not TaskQueue.objects.filter(provider="nobody").exists()
