"""Log lines as JSON: ids of what is done, and nothing of what was said."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from ai_tasks import clock, trail
from ai_tasks.log_lines import JsonLines
from ai_tasks.models import AIGenerationTask
from ai_tasks.trail import Trail
from config import env
from tests.engine import run_admitted, text_task

PROMPT = "A secret prompt about the Rhine"


@pytest.fixture
def lines() -> Iterator[Any]:
    """Return a function that gives what was logged so far, parsed."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


def post(client: Client, **headers: str) -> Any:
    body = {"type": "text.generate", "input": {"prompt": PROMPT}}
    return client.post("/api/v1/tasks", json.dumps(body), content_type="application/json", headers=headers)


@pytest.mark.django_db(transaction=True)
def test_a_request_and_its_task_s_attempt_are_found_by_one_request_id(
    client: Client, alice: User, providers_ready: None, lines: Any
) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    client.force_login(alice)

    answer = post(client, **{"X-Request-Id": "mine-1", "traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    run_admitted()

    ours = [line for line in lines() if line.get("request_id") == "mine-1"]
    request, call = (next(line for line in ours if each in line) for each in ("route", "outcome"))
    assert answer["X-Request-Id"] == "mine-1"
    assert (request["method"], request["route"], request["status"]) == ("POST", "/api/v1/tasks", 202)
    assert (call["task_id"], call["attempt"], call["trace_id"]) == (answer.json()["id"], 1, trace_id)
    assert (call["provider"], call["model"], call["outcome"]) == ("simulator", "sim-1", "answered")
    assert PROMPT not in json.dumps(lines())
    assert trail.current() == Trail()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "traceparent", ["", "x", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{'a' * 32}-{'b' * 16}-01\n", "é" * 55]
)
def test_a_strange_trace_is_not_taken_over(
    client: Client, alice: User, providers_ready: None, traceparent: str
) -> None:
    client.force_login(alice)

    answer = post(client, traceparent=traceparent)

    assert AIGenerationTask.objects.get(pk=answer.json()["id"]).traceparent == ""


@pytest.mark.django_db
def test_a_task_of_no_request_has_no_request_s_id(alice: User, providers_ready: None) -> None:
    task = text_task(alice, now=clock.now())

    assert (task.request_id, task.traceparent) == ("", "")


def test_a_line_stays_one_line_and_an_exception_says_where_not_what(lines: Any) -> None:
    logger = logging.getLogger("tests.lines")
    try:
        raise ValueError(PROMPT)
    except ValueError:
        logger.exception("It\nfailed: %s", "x" * 10_000, extra={"prompt": PROMPT})

    (line,) = [line for line in lines() if line["logger"] == "tests.lines"]

    assert line["level"] == "ERROR"
    assert line["message"].startswith("It\nfailed: x")
    assert len(line["message"]) == 4_000
    assert line["error"] == "ValueError"
    assert "test_log_lines.py" in line["stack"][0]
    assert PROMPT not in json.dumps(line)


def test_an_unknown_format_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "xml")

    with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT must be one of line, json, not 'xml'"):
        env.choice("LOG_FORMAT", "line", "json")
