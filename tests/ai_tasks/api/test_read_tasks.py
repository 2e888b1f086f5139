"""GET /api/v1/tasks and GET /api/v1/tasks/{id}."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import submission
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest
from tests import engine

pytestmark = pytest.mark.django_db


def submit(owner: User, **options: Any) -> AIGenerationTask:
    return submission.submit(owner, TaskRequest(type="text.generate", input={"prompt": "Name a river."}, **options))


@pytest.fixture
def get(client: Client, headers: dict[str, str]) -> Any:
    def fetch(path: str = "/api/v1/tasks", **query: str) -> Any:
        return client.get(f"{path}?{urlencode(query)}", headers=headers)

    return fetch


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [task["id"] for task in response.json()["data"]]


def test_get_shows_the_task(get: Any, alice: User) -> None:
    task = submit(alice, metadata={"team": "sales"})

    shown = get(f"/api/v1/tasks/{task.pk}").json()

    assert shown["id"] == str(task.pk)
    assert shown["metadata"] == {"team": "sales"}


def test_get_takes_an_id_in_capitals(get: Any, alice: User) -> None:
    task = submit(alice)

    assert get(f"/api/v1/tasks/{str(task.pk).upper()}").status_code == 200


@pytest.mark.parametrize("task_id", ["x", "0", "%00", "..", "{", "0" * 36, "x" * 2000, "%F0%9F%8E%BD"])
def test_get_of_garbage_is_as_missing_as_any_task(get: Any, assert_problem: Any, task_id: str) -> None:
    missing = assert_problem(get(f"/api/v1/tasks/{uuid4()}"), 404, "not_found")

    garbage = assert_problem(get(f"/api/v1/tasks/{task_id}"), 404, "not_found")

    assert garbage["detail"] == missing["detail"]


def test_list_has_the_shape_of_every_list(get: Any, alice: User) -> None:
    task = submit(alice)

    body = get().json()

    assert (body["object"], body["has_more"], body["next"]) == ("list", False, None)
    assert [shown["id"] for shown in body["data"]] == [str(task.pk)]


def test_list_pages_newest_first_without_skips_or_doubles(get: Any, alice: User) -> None:
    made = [str(submit(alice).pk) for _ in range(5)]

    first = get(limit="2")
    submit(alice)
    second = get(limit="2", cursor=first.json()["next"])
    third = get(limit="2", cursor=second.json()["next"])

    assert ids(first) + ids(second) + ids(third) == made[::-1]
    assert [page.json()["has_more"] for page in (first, second, third)] == [True, True, False]
    assert third.json()["next"] is None


def test_list_takes_a_bounded_number_of_queries(get: Any, alice: User, django_assert_max_num_queries: Any) -> None:
    for _ in range(12):
        submission.cancel(submit(alice))

    with django_assert_max_num_queries(5):
        assert len(ids(get())) == 12


def test_list_filters(get: Any, alice: User) -> None:
    order = submit(alice, related=("order", "5"), metadata={"team": "sales", "7": "x", "都市": "京都"})
    other = submit(alice, related=("order", "6"), model="simulator/sim-1", metadata={"team": "it's"})
    submission.cancel(other)
    both = [str(other.pk), str(order.pk)]

    assert ids(get(status="pending")) == [str(order.pk)]
    assert ids(get(status="pending,cancelled")) == both
    assert ids(get(type="text.generate")) == both
    assert ids(get(type="text.translate")) == []
    assert ids(get(provider="simulator")) == both
    assert ids(get(provider="openai")) == []
    assert ids(get(related_type="order", related_id="5")) == [str(order.pk)]
    assert ids(get(**{"metadata[team]": "sales"})) == [str(order.pk)]
    assert ids(get(**{"metadata[team]": "it's"})) == [str(other.pk)]
    assert ids(get(**{"metadata[7]": "x"})) == [str(order.pk)]
    assert ids(get(**{"metadata[都市]": "京都"})) == [str(order.pk)]
    assert ids(get(**{"metadata[team]": "sales", "metadata[7]": "y"})) == []
    assert ids(get(**{"metadata[team]": "sales", "metadata[7]": "x"})) == [str(order.pk)]
    assert ids(get(**{"metadata[owner__password]": "x"})) == []


def test_list_filters_by_time_of_creation(get: Any, alice: User) -> None:
    early, late = submit(alice), submit(alice)
    AIGenerationTask.objects.filter(pk=early.pk).update(created_at=late.created_at - timedelta(hours=2))
    between = late.created_at - timedelta(hours=1)

    assert ids(get(created_after=between.isoformat())) == [str(late.pk)]
    assert ids(get(created_before=between.isoformat())) == [str(early.pk)]
    assert ids(get(created_after=late.created_at.isoformat())) == [str(late.pk)]
    assert ids(get(created_before=late.created_at.isoformat())) == [str(early.pk)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "many"),
        ("limit", "٣"),
        ("limit", ""),
        ("cursor", "nonsense"),
        ("cursor", "a" * 500),
        ("cursor", "é"),
        ("status", "done"),
        ("status", ""),
        ("created_after", "yesterday"),
        ("created_after", "2026-11-23"),
        ("created_before", "2026-11-23T10:00:00"),
        ("created_before", "9999-12-31T23:59:59-14:00"),
        ("stauts", "pending"),
        ("owner", "1"),
        ("provider", "a\x00b"),
        ("metadata[]", "x"),
        ('metadata[a"]', "x"),
        ("metadata[" + "x" * 65 + "]", "x"),
    ],
)
def test_list_refuses_a_wrong_parameter(get: Any, alice: User, assert_problem: Any, name: str, value: str) -> None:
    submit(alice)

    assert_problem(get(**{name: value}), 422, "invalid_input", f"?{name[:100]}")


def test_a_deleted_task_is_gone(get: Any, alice: User, assert_problem: Any) -> None:
    task = submit(alice)
    AIGenerationTask.objects.delete(task)

    assert ids(get()) == []
    assert_problem(get(f"/api/v1/tasks/{task.pk}"), 404, "not_found")


@pytest.mark.django_db(transaction=True)
def test_a_completed_task_shows_output_usage_cost_and_attempts(get: Any, alice: User) -> None:
    simulate = {"text": "The Shinano.", "latency_ms": 0, "tokens_per_second": 0}
    task = submission.submit(
        alice, TaskRequest(type="text.generate", input={"prompt": "Name a river.", "simulate": simulate})
    )
    engine.run_admitted()

    shown = get(f"/api/v1/tasks/{task.pk}").json()

    assert shown["status"] == "completed"
    assert shown["output"]["text"] == "The Shinano."
    assert shown["usage"]["total_tokens"] == shown["usage"]["input_tokens"] + shown["usage"]["output_tokens"]
    assert float(shown["cost_usd"]) > 0
    assert [attempt["status"] for attempt in shown["attempts"]] == ["succeeded"]
    assert shown["waiting"] is None
