"""People and clients of the API's tests."""

from collections.abc import Callable, Collection
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock
from ai_tasks.access import keys
from ai_tasks.access.models import IdempotencyRecord
from ai_tasks.models import AIGenerationTask
from providers import control
from queueing.models import QueueEntry

PROMPT = {"type": "text.generate", "input": {"prompt": "Name a river."}}


@pytest.fixture(autouse=True)
def _providers(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.AI_DISPATCHER = False
    if request.node.get_closest_marker("django_db"):
        control.ensure_providers(clock.now())


@pytest.fixture
def key_of() -> Callable[..., str]:
    """Return a function that makes a key and returns its text."""

    def make(owner: User, **options: Any) -> str:
        return keys.create(owner, "test", **options)[1]

    return make


@pytest.fixture
def headers(alice: User, key_of: Callable[..., str]) -> dict[str, str]:
    """Return the headers of alice's key."""
    return {"Authorization": f"Bearer {key_of(alice)}"}


@pytest.fixture
def post(client: Client, headers: dict[str, str]) -> Callable[..., Any]:
    """Return a function that sends a body, an object or raw, to `/api/v1/tasks` as alice."""

    def send(body: Any, **extra: Any) -> Any:
        more = extra.pop("headers", {})
        path = extra.pop("path", "/api/v1/tasks")
        media_type = extra.pop("content_type", "application/json")
        return client.post(path, body, content_type=media_type, headers=headers | more, **extra)

    return send


MEMBERS = {"type", "title", "status", "code", "detail", "errors", "request_id", "retryable"}


@pytest.fixture
def assert_problem() -> Callable[..., dict[str, Any]]:
    """Return a function that checks a problem document's form and returns it."""

    def check(response: Any, status: int, code: str, *pointers: str, members: Collection[str] = ()) -> dict[str, Any]:
        assert response.status_code == status, response.content
        assert response["Content-Type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        assert set(problem) - set(members) == MEMBERS
        assert (problem["status"], problem["code"]) == (status, code)
        assert problem["request_id"] == response["X-Request-Id"]
        assert [error["pointer"] for error in problem["errors"]] == list(pointers)
        return problem

    return check


@pytest.fixture
def assert_nothing_written() -> Callable[[], None]:
    """Return a function that checks that no task, no entry and no idempotency key is there."""

    def check() -> None:
        assert not AIGenerationTask.objects.exists()
        assert not QueueEntry.objects.exists()
        assert not IdempotencyRecord.objects.exists()

    return check
