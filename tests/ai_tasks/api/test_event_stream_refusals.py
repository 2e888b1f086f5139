"""When GET /api/v1/tasks/{id}/events does not begin to stream."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import submission
from ai_tasks.submission import TaskRequest

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def path(alice: User) -> str:
    """Return where a task of alice's is followed."""
    task = submission.submit(alice, TaskRequest(type="text.generate", input={"prompt": "Name a river."}))
    return f"/api/v1/tasks/{task.pk}/events"


@pytest.mark.parametrize(
    ("name", "value"), [("after", "x"), ("after", "-1"), ("after", "99999999999"), ("Last-Event-ID", "x")]
)
def test_a_place_that_is_none_is_refused(
    client: Client, path: str, headers: dict[str, str], assert_problem: Any, name: str, value: str
) -> None:
    more = {"Last-Event-ID": value} if name == "Last-Event-ID" else {}
    query = f"?after={value}" if name == "after" else ""

    response = client.get(f"{path}{query}", headers=headers | more)

    assert_problem(response, 422, "invalid_input", "?after" if name == "after" else "Last-Event-ID")


def test_without_a_key_there_is_no_stream(client: Client, path: str, assert_problem: Any) -> None:
    response = client.get(path, headers={"Accept": "text/event-stream"})

    assert_problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_only_get_begins_a_stream(client: Client, path: str, headers: dict[str, str], method: str) -> None:
    response = client.generic(method, path, headers=headers)

    assert response.status_code == 200
    assert not response.streaming
