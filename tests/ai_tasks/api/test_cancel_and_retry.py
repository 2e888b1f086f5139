"""POST /api/v1/tasks/{id}/cancel and /retry."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import submission
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest
from tests import engine

FAILING = {"fail": "bad_request", "latency_ms": 0}


def submit(owner: User, **simulate: Any) -> AIGenerationTask:
    return submission.submit(
        owner, TaskRequest(type="text.generate", input={"prompt": "a", "simulate": {"latency_ms": 0, **simulate}})
    )


@pytest.mark.django_db
def test_cancel_ends_a_waiting_task_and_is_idempotent(post: Any, alice: User) -> None:
    task = submit(alice)

    first = post(None, path=f"/api/v1/tasks/{task.pk}/cancel")
    again = post(None, path=f"/api/v1/tasks/{task.pk}/cancel/")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["status"] == again.json()["status"] == "cancelled"
    assert first.json()["finished_at"] == again.json()["finished_at"]


@pytest.mark.django_db
def test_retry_leaves_a_live_task_as_it_is(post: Any, alice: User) -> None:
    task = submit(alice)

    response = post(None, path=f"/api/v1/tasks/{task.pk}/retry")

    assert (response.status_code, response.json()["status"]) == (200, "pending")


@pytest.mark.django_db
def test_retry_of_a_cancelled_task_is_409(post: Any, alice: User, assert_problem: Any) -> None:
    task = submit(alice)
    submission.cancel(task)

    assert_problem(post(None, path=f"/api/v1/tasks/{task.pk}/retry"), 409, "not_possible")


@pytest.mark.django_db(transaction=True)
def test_retry_makes_a_failed_task_pending_again(post: Any, alice: User) -> None:
    task = submit(alice, fail="bad_request")
    engine.run_admitted()
    assert AIGenerationTask.objects.get().status == "failed"

    response = post(None, path=f"/api/v1/tasks/{task.pk}/retry")

    assert (response.status_code, response.json()["status"]) == (200, "pending")
    assert response.json()["id"] == str(task.pk)
