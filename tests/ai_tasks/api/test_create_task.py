"""POST /api/v1/tasks."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask
from queueing.models import QueueEntry
from queueing.states import Priority
from tests.ai_tasks.api.conftest import PROMPT

pytestmark = pytest.mark.django_db


def test_create_accepts_a_task_and_shows_it(post: Any) -> None:
    response = post(PROMPT)

    task = response.json()
    assert response.status_code == 202
    assert response["Location"] == f"/api/v1/tasks/{task['id']}"
    assert (task["object"], task["type"], task["status"], task["priority"]) == (
        "task",
        "text.generate",
        "pending",
        "normal",
    )
    assert task["input"] == PROMPT["input"]
    assert (task["output"], task["error"], task["usage"], task["cost_usd"]) == (None, None, None, None)
    assert task["waiting"]["reason"]
    assert QueueEntry.objects.filter(task_id=task["id"]).count() == 1


def test_create_stores_everything_that_may_be_given(post: Any) -> None:
    run_at = clock.now() + timedelta(hours=1)
    body = PROMPT | {
        "model": "simulator/sim-1",
        "priority": "low",
        "run_at": run_at.isoformat(),
        "deadline_seconds": 3600,
        "max_cost_usd": "0.25",
        "related": {"type": "shop.order", "id": "2026/11"},
        "metadata": {"team": "sales", "都市": "京都"},
        "callback_url": "https://example.com/done",
    }

    response = post(body)

    assert response.status_code == 202
    task = AIGenerationTask.objects.get()
    assert (task.requested_model, task.priority, task.run_at) == ("simulator/sim-1", Priority.LOW, run_at)
    assert task.deadline_at == run_at + timedelta(hours=1)
    assert task.max_cost_usd == Decimal("0.25")
    assert (task.related_type, task.related_id) == ("shop.order", "2026/11")
    assert task.metadata == {"team": "sales", "都市": "京都"}
    assert task.callback_url == "https://example.com/done"


def test_create_is_found_with_a_trailing_slash_too(post: Any) -> None:
    response = post(PROMPT, path="/api/v1/tasks/")

    assert response.status_code == 202
    assert response["Location"] == f"/api/v1/tasks/{response.json()['id']}"


def test_create_takes_the_last_of_two_members_of_one_name(post: Any) -> None:
    response = post(b'{"type": "nothing", "type": "text.generate", "input": {"prompt": "a", "prompt": "b"}}')

    assert response.status_code == 202
    assert response.json()["input"] == {"prompt": "b"}


def test_create_keeps_text_beyond_the_basic_plane(post: Any) -> None:
    response = post({"type": "text.generate", "input": {"prompt": "襷 🎽 \u202e"}})

    assert response.json()["input"]["prompt"] == "襷 🎽 \u202e"


def test_create_by_session_needs_the_csrf_token(alice: Any, assert_problem: Any, assert_nothing_written: Any) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)

    response = browser.post("/api/v1/tasks", PROMPT, content_type="application/json")

    assert_problem(response, 403, "csrf_failed")
    assert_nothing_written()


def test_create_by_session_with_the_csrf_token_is_accepted(alice: Any) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.get("/login/")
    token = browser.cookies["csrftoken"].value
    browser.force_login(alice)

    response = browser.post("/api/v1/tasks", PROMPT, content_type="application/json", headers={"X-CSRFToken": token})

    assert response.status_code == 202


@pytest.mark.parametrize(
    ("ceiling", "asked", "status"), [(1, "high", 202), (1, "urgent", 422), (0, "urgent", 202), (3, "normal", 422)]
)
def test_create_holds_to_the_priority_ceiling_of_the_key(
    client: Client, alice: Any, key_of: Any, ceiling: int, asked: str, status: int
) -> None:
    headers = {"Authorization": f"Bearer {key_of(alice, priority_ceiling=Priority(ceiling))}"}

    response = client.post(
        "/api/v1/tasks", PROMPT | {"priority": asked}, content_type="application/json", headers=headers
    )

    assert response.status_code == status
    if status == 422:
        assert response.json()["errors"][0]["pointer"] == "/priority"
        assert not AIGenerationTask.objects.exists()
