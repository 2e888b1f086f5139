"""Sessions and clients of the chat's tests."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks.access import keys
from chat import conversation
from chat.models import ChatSession


@pytest.fixture(autouse=True)
def _providers(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("providers_ready")


@pytest.fixture
def now() -> datetime:
    """Return a moment."""
    return datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


@pytest.fixture
def session(alice: User) -> ChatSession:
    """Return a session of alice's."""
    return conversation.start_session(alice)


@pytest.fixture
def call(client: Client, alice: User) -> Callable[..., Any]:
    """Return a function that calls the API below `/api/v1/chat` with alice's key."""
    headers = {"Authorization": f"Bearer {keys.create(alice, 'test')[1]}"}

    def send(method: str, path: str, body: Any = None, **more: str) -> Any:
        options: dict[str, Any] = {"headers": headers | more}
        if body is not None:
            options |= {"data": body, "content_type": "application/json"}
        return getattr(client, method)(f"/api/v1/chat{path}", **options)

    return send
