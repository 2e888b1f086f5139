"""Operators of the API's tests."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from ai_tasks.oversight.actions import Action

Call = Callable[..., Any]

LOOKS = ["/queues", "/queues/simulator", "/queues/simulator/entries", "/providers"]
LOOKS += ["/dead-letters", "/dead-letters/groups", "/redrives"]
CHANGES = ["/queues/simulator/pause", "/queues/simulator/resume", "/queues/simulator/reorder"]
CHANGES += ["/dead-letters/discard", "/redrives"]


@pytest.fixture
def carol(db: None) -> User:
    """An operator who may change queues and dead letters."""
    user = User.objects.create_user("carol", is_staff=True)
    allowed = [action.codename for action in Action]
    user.user_permissions.set(Permission.objects.filter(codename__in=allowed))
    return user


@pytest.fixture
def call(client: Any, carol: User, key_of: Any) -> Call:
    """Return a function that calls the API as carol: (method, path, body) to (status, JSON)."""
    authorization = {"Authorization": f"Bearer {key_of(carol)}"}

    def send(method: str, path: str, body: Any = None, *, query: Any = None, key: str = "") -> Any:
        headers = authorization | ({"Idempotency-Key": key} if key else {})
        options = {"data": body, "content_type": "application/json"} if method == "post" else {"data": query}
        return getattr(client, method)(f"/api/v1{path}", headers=headers, **options)

    return send
