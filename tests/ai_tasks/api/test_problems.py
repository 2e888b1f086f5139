"""Errors that no view of ours makes, and what every answer carries."""

import logging
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory

from ai_tasks.api import fallbacks, problems
from ai_tasks.errors import NotPossible, QueueFull, TaskError


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/", "/api/v1/nothing", "/api/v2/tasks", "/api/v1/tasks/a/b/c", "/api/\x00"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("is_debug", [False, True])
@pytest.mark.django_db
def test_an_unknown_address_is_a_problem(
    client: Client, settings: Any, assert_problem: Any, path: str, method: str, is_debug: bool
) -> None:
    settings.DEBUG = is_debug

    assert_problem(client.generic(method, path), 404, "not_found")


@pytest.mark.django_db
def test_an_unknown_address_elsewhere_is_a_page(client: Client) -> None:
    response = client.get("/nothing/here")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/v1/tasks"), ("DELETE", "/api/v1/tasks/x"), ("GET", "/api/v1/ws-tickets")]
)
@pytest.mark.django_db
def test_a_wrong_method_is_405(
    client: Client, headers: dict[str, str], assert_problem: Any, method: str, path: str
) -> None:
    response = client.generic(method, path, headers=headers)

    assert_problem(response, 405, "method_not_allowed")
    assert response["Allow"]


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html", "text/event-stream", "nonsense", "application/json;q=0"])
def test_whatever_is_accepted_the_answer_is_json(client: Client, headers: dict[str, str], accept: str) -> None:
    response = client.get("/api/v1/tasks?limit=1", headers=headers | {"Accept": accept})

    assert response["Content-Type"] == "application/json"


def test_an_unforeseen_error_says_nothing_about_itself(rf: RequestFactory, caplog: pytest.LogCaptureFixture) -> None:
    request: Any = rf.get("/api/v1/tasks")
    request.request_id = "r-1"

    with caplog.at_level(logging.CRITICAL + 1, "ai_tasks.api.problems"):
        response = problems.handle(ZeroDivisionError("secret of the house"), {"request": request})

    assert response.status_code == 500
    assert response.data["code"] == "internal_error"
    assert response.data["request_id"] == "r-1"
    assert "secret" not in str(response.data)


def test_an_unforeseen_error_is_logged_with_the_request_id(
    rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    request: Any = rf.get("/api/v1/tasks")
    request.request_id = "r-1"

    problems.handle(ZeroDivisionError("secret of the house"), {"request": request})

    assert "r-1" in caplog.text
    assert "secret of the house" in caplog.text


def test_a_database_that_is_away_is_503(rf: RequestFactory) -> None:
    response = problems.handle(OperationalError("host db.internal"), {"request": rf.get("/")})

    assert (response.status_code, response["Retry-After"], response.data["retryable"]) == (503, "2", True)
    assert "internal" not in response.data["detail"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (QueueFull("full", retry_after_seconds=7), 429, "queue_full"),
        (NotPossible("no"), 409, "not_possible"),
        (TaskError("somehow"), 409, "not_possible"),
    ],
)
def test_every_task_error_has_its_status(rf: RequestFactory, error: TaskError, status: int, code: str) -> None:
    response = problems.handle(error, {"request": rf.get("/")})

    assert (response.status_code, response.data["code"]) == (status, code)
    assert response.headers.get("Retry-After") == ("7" if status == 429 else None)


@pytest.mark.parametrize(
    ("answer", "status"),
    [(fallbacks.bad_request, 400), (fallbacks.permission_denied, 403), (fallbacks.page_not_found, 404)],
)
def test_djangos_own_errors_are_problems_under_api(rf: RequestFactory, answer: Any, status: int) -> None:
    response = answer(rf.get("/api/v1/x"), ValueError("secret"))

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert b"secret" not in response.content


def test_djangos_500_is_a_problem_under_api_and_a_page_elsewhere(rf: RequestFactory) -> None:
    assert fallbacks.server_error(rf.get("/api/v1/x"))["Content-Type"] == "application/problem+json"
    assert fallbacks.server_error(rf.get("/x"))["Content-Type"].startswith("text/html")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/api/v1/tasks", "/api/nothing", "/login/", "/nothing"])
def test_every_answer_carries_the_callers_request_id_and_the_strict_policy(client: Client, path: str) -> None:
    response = client.get(path, headers={"X-Request-Id": "caller-1.2:3"})

    assert response["X-Request-Id"] == "caller-1.2:3"
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]


@pytest.mark.parametrize("given", ["", "x" * 101, "a b", "a\tb", "é", '"><script>'])
def test_an_indecent_request_id_is_replaced(client: Client, given: str) -> None:
    response = client.get("/healthz", headers={"X-Request-Id": given})

    assert response["X-Request-Id"] != given
    assert len(response["X-Request-Id"]) == 36
