"""What a new user does: start it, paste the curl line, stream an answer, look around."""

from typing import Any

import pytest

from config.programs import Standalone
from tests.flows.client import Api, eventually

pytestmark = pytest.mark.stack


@pytest.fixture
def api(standalone: Standalone) -> Api:
    """Return a client with the printed key."""
    return Api(standalone.url, standalone.api_key)


def test_a_task_is_completed_with_tokens_and_cost(api: Api) -> None:
    task = api.submit("What is a tasuki?", wait=30)

    assert task["status"] == "completed"
    assert task["output"]["text"]
    assert task["usage"]["total_tokens"] == task["usage"]["input_tokens"] + task["usage"]["output_tokens"]
    assert float(task["cost_usd"]) > 0
    assert [attempt["status"] for attempt in task["attempts"]] == ["succeeded"]


def test_the_deltas_of_a_stream_are_the_output(api: Api) -> None:
    task = api.submit("Stream, please.", output_tokens=40, tokens_per_second=100)

    events = api.events(task["id"])

    deltas = [data for name, data in events if name == "task.delta"]
    assert "".join(data["text"] for data in deltas) == events[-1][1]["output"]["text"]
    assert [data["seq"] for data in deltas] == list(range(1, len(deltas) + 1))
    assert events[-1][0] == "task.updated"
    assert events[-1][1]["status"] == "completed"


def test_a_resumed_stream_goes_on_where_it_broke_off(api: Api) -> None:
    task = api.submit("Resume, please.", wait=30, output_tokens=40, tokens_per_second=100)
    whole = [data for name, data in api.events(task["id"]) if name == "task.delta"]

    rest = [data for name, data in api.events(task["id"], after=2) if name == "task.delta"]

    assert rest == whole[2:]


def test_a_running_task_is_cancelled_and_paid_for_what_it_used(api: Api) -> None:
    task = api.submit("Talk for long.", output_tokens=3000, tokens_per_second=50)
    eventually(lambda: api.task(task["id"])["status"] == "processing", "it runs")

    status, answer = api.call("POST", f"/tasks/{task['id']}/cancel")

    assert status == 200
    assert answer["cancel_requested_at"]
    eventually(lambda: api.task(task["id"])["status"] == "cancelled", "it is cancelled", seconds=5)
    assert float(api.task(task["id"])["cost_usd"]) > 0


def test_a_failing_task_is_tried_again_and_then_dead(api: Api) -> None:
    status, task = api.call(
        "POST",
        "/tasks?wait=30",
        {"type": "text.generate", "input": {"prompt": "x", "simulate": {"fail": "refusal"}}},
    )

    assert status == 202
    assert task["status"] == "failed"
    assert task["error"]["code"] == "content_refused"


@pytest.mark.parametrize(
    ("body", "raw", "status", "code"),
    [
        (None, b"{not json", 400, "invalid_input"),
        ({"type": "no.such", "input": {}}, None, 422, "unknown_task_type"),
        ({"type": "chat.reply", "input": {}}, None, 422, "unknown_task_type"),
        ({"type": "text.generate", "input": {}}, None, 422, "invalid_input"),
        ({"type": "text.generate", "input": {"prompt": "x"}, "model": "nobody/x"}, None, 422, "unknown_model"),
        (None, b'{"type": "text.generate", "input": {"prompt": "%s"}}' % (b"x" * 2_000_000), 413, "payload_too_large"),
    ],
)
def test_bad_input_gets_a_problem_document(api: Api, body: Any, raw: bytes | None, status: int, code: str) -> None:
    answer = api.call("POST", "/tasks", body, raw=raw)

    assert answer[0] == status
    assert answer[1]["code"] == code


def test_a_wrong_key_is_refused(standalone: Standalone) -> None:
    answer = Api(standalone.url, "tsk_wrong").call("GET", "/tasks")

    assert answer[0] == 401
    assert answer[1]["code"] == "not_authenticated"
