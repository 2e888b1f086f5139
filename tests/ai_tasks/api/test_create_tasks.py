"""POST /api/v1/tasks/bulk: up to a thousand tasks, all or none."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks.models import AIGenerationTask
from queueing.models import QueueEntry, TaskQueue
from tests.ai_tasks.api.conftest import PROMPT

pytestmark = pytest.mark.django_db
PATH = "/api/v1/tasks/bulk"


def prompts(count: int) -> dict[str, Any]:
    return {"tasks": [PROMPT | {"input": {"prompt": f"Name river {number}."}} for number in range(count)]}


def test_tasks_are_made_in_their_order(post: Any) -> None:
    body = prompts(3)
    body["tasks"][1]["priority"] = "high"

    response = post(body, path=PATH)

    made = response.json()
    assert (response.status_code, made["object"]) == (202, "list")
    assert [task["input"]["prompt"] for task in made["data"]] == [f"Name river {number}." for number in range(3)]
    assert [task["priority"] for task in made["data"]] == ["normal", "high", "normal"]
    assert all(task["waiting"]["reason"] for task in made["data"])
    assert QueueEntry.objects.count() == 3


def test_a_thousand_go_in_one_call(post: Any) -> None:
    response = post(prompts(1_000), path=PATH)

    assert (response.status_code, len(response.json()["data"])) == (202, 1_000)
    assert QueueEntry.objects.count() == 1_000


@pytest.mark.parametrize(
    ("tasks", "pointer"),
    [
        ([], "/tasks"),
        ([PROMPT] * 1_001, "/tasks"),
        ("many", "/tasks"),
        (None, "/tasks"),
        ({}, "/tasks"),
        ([1], "/tasks/0"),
    ],
)
def test_another_number_or_no_list_is_refused(post: Any, assert_problem: Any, tasks: Any, pointer: str) -> None:
    response = post({"tasks": tasks}, path=PATH)

    assert_problem(response, 422, "invalid_input", pointer)
    assert not AIGenerationTask.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "status", "code", "pointer"),
    [
        ({"priority": "soon"}, 422, "invalid_input", "/tasks/1/priority"),
        ({"prompt": "?"}, 422, "invalid_input", "/tasks/1/prompt"),
        ({"type": "no.such"}, 422, "unknown_task_type", "/tasks/1/type"),
        ({"model": "nowhere"}, 422, "unknown_model", "/tasks/1/model"),
        ({"input": {}}, 422, "invalid_input", "/tasks/1/input"),
    ],
)
def test_one_mistake_refuses_all_and_says_where(
    post: Any, assert_problem: Any, wrong: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    body = prompts(3)
    body["tasks"][1] |= wrong

    assert_problem(post(body, path=PATH), status, code, pointer)

    assert not AIGenerationTask.objects.exists()
    assert not QueueEntry.objects.exists()


def test_where_the_queue_has_no_room_for_all_none_is_made(post: Any, assert_problem: Any) -> None:
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.update(hard_mark=2)

    response = post(prompts(3), path=PATH)

    assert_problem(response, 429, "queue_full", "/tasks/2")
    assert response["Retry-After"]
    assert not AIGenerationTask.objects.exists()


def test_a_key_with_a_ceiling_may_not_ask_for_more(post: Any, alice: User, key_of: Any, assert_problem: Any) -> None:
    body = prompts(2)
    body["tasks"][1]["priority"] = "urgent"
    low = {"Authorization": f"Bearer {key_of(alice, priority_ceiling=2)}"}

    response = post(body, path=PATH, headers=low)

    assert_problem(response, 422, "invalid_input", "/tasks/1/priority")


def test_sent_again_with_its_key_it_gives_the_same_tasks(post: Any) -> None:
    once = {"Idempotency-Key": "many"}
    first = post(prompts(3), path=PATH, headers=once)

    again = post(prompts(3), path=PATH, headers=once)

    assert again["Idempotency-Replayed"] == "true"
    assert [task["id"] for task in again.json()["data"]] == [task["id"] for task in first.json()["data"]]
    assert AIGenerationTask.objects.count() == 3
