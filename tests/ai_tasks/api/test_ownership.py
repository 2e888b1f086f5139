"""Somebody else's task is as missing as one that never was."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import submission
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_staff", [False, True])
@pytest.mark.parametrize(
    ("method", "suffix"), [("GET", ""), ("POST", "/cancel"), ("POST", "/retry"), ("GET", "/events")]
)
def test_another_person_cannot_tell_a_task_from_nothing(
    client: Client, alice: User, bob: User, key_of: Any, assert_problem: Any, method: str, suffix: str, is_staff: bool
) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=is_staff, is_superuser=is_staff)
    task = submission.submit(alice, TaskRequest(type="text.generate", input={"prompt": "Name a river."}))
    headers = {"Authorization": f"Bearer {key_of(bob)}", "X-Request-Id": "same"}

    theirs = client.generic(method, f"/api/v1/tasks/{task.pk}{suffix}", headers=headers)
    nothing = client.generic(method, f"/api/v1/tasks/{uuid4()}{suffix}", headers=headers)

    assert_problem(theirs, 404, "not_found")
    assert theirs.content == nothing.content
    assert {**theirs.headers} == {**nothing.headers}
    assert AIGenerationTask.objects.get().status == "pending"


@pytest.mark.django_db
def test_another_persons_tasks_are_not_listed(client: Client, alice: User, bob: User, key_of: Any) -> None:
    submission.submit(alice, TaskRequest(type="text.generate", input={"prompt": "a"}, related=("order", "5")))
    headers = {"Authorization": f"Bearer {key_of(bob)}"}

    for query in ("", "?related_type=order&related_id=5", "?status=pending"):
        assert client.get(f"/api/v1/tasks{query}", headers=headers).json()["data"] == []
