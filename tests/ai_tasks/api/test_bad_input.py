"""What POST /api/v1/tasks refuses, and that nothing is written then."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from ai_tasks.accounts.models import Budget
from queueing.models import TaskQueue
from tests.ai_tasks.api.conftest import PROMPT

pytestmark = pytest.mark.django_db


def given(**members: Any) -> dict[str, Any]:
    return PROMPT | members


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"type": NaN}',
        b'{"type": -Infinity}',
        b"{'type': 'text.generate'}",
        b'\xff\xfe{"type": "text.generate"}',
        b'{"type": "text.generate", "input": {"prompt": "\xc3\x28"}}',
        b"\xef\xbb\xbf{}",
        b'{"number": 1' + b"0" * 5_000 + b"}",
    ],
)
def test_a_body_that_is_not_json_is_malformed(
    post: Any, assert_problem: Any, assert_nothing_written: Any, body: bytes
) -> None:
    response = post(body)

    problem = assert_problem(response, 400, "invalid_input", "")
    assert problem["errors"][0]["detail"] == "malformed"
    assert_nothing_written()


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"null", b"7", b"true"])
def test_a_body_that_is_no_object_is_refused(
    post: Any, assert_problem: Any, assert_nothing_written: Any, body: bytes
) -> None:
    assert_problem(post(body), 422, "invalid_input", "")
    assert_nothing_written()


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"input":' * 100_000, b"[" * 50 + b"]" * 50])
def test_a_body_nested_too_deep_is_refused(
    post: Any, assert_problem: Any, assert_nothing_written: Any, body: bytes
) -> None:
    response = post(body)

    assert response.status_code in (400, 422)
    assert_problem(response, response.status_code, "invalid_input", response.json()["errors"][0]["pointer"])
    assert_nothing_written()


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (r'{"type": "text.generate", "input": {"prompt": "a\u0000b"}}', "/input/prompt"),
        (r'{"type": "text.generate", "input": {"prompt": "\ud800"}}', "/input/prompt"),
        (r'{"type": "text.generate", "input": {"prompt": "a"}, "metadata": {"k\u0000": "v"}}', "/metadata/k\ufffd"),
        (
            r'{"type": "text.generate", "input": {"prompt": "a", "max_output_tokens": 1e999}}',
            "/input/max_output_tokens",
        ),
        (
            r'{"type": "text.generate", "input": {"prompt": "a", "max_output_tokens": 99999999999999999999}}',
            "/input/max_output_tokens",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(
    post: Any, assert_problem: Any, assert_nothing_written: Any, raw: str, pointer: str
) -> None:
    assert_problem(post(raw.encode()), 422, "invalid_input", pointer)
    assert_nothing_written()


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/type", "/input"]),
        ({"type": "text.generate"}, ["/input"]),
        (given(type=7), ["/type"]),
        (given(type=None), ["/type"]),
        (given(type=""), ["/type"]),
        (given(typ="x", other=1), ["/other", "/typ"]),
        (given(input=[]), ["/input"]),
        (given(input={}), ["/input"]),
        (given(input={"prompt": ""}), ["/input/prompt"]),
        (given(input={"prompt": 5}), ["/input/prompt"]),
        (given(input={"prompt": "a", "colour": "red"}), ["/input"]),
        (given(input={"messages": [{"role": "pirate", "content": "a"}]}), ["/input/messages/0/role"]),
        (given(input={"prompt": "a", "temperature": 3}), ["/input/temperature"]),
        (given(model=1), ["/model"]),
        (given(model="x" * 161), ["/model"]),
        (given(priority="soon"), ["/priority"]),
        (given(priority=1), ["/priority"]),
        (given(priority=["low"]), ["/priority"]),
        (given(priority="urgent"), ["/priority"]),
        (given(run_at="tomorrow"), ["/run_at"]),
        (given(run_at="2026-11-23T10:00:00"), ["/run_at"]),
        (given(run_at="0001-01-01T00:00:00+14:00"), ["/run_at"]),
        (given(run_at="9999-12-31T23:59:59-14:00"), ["/run_at"]),
        (given(run_at="2026-02-31T00:00:00Z"), ["/run_at"]),
        (given(run_at=1700000000), ["/run_at"]),
        (given(run_at=(datetime.now(UTC) + timedelta(days=400)).isoformat()), ["/run_at"]),
        (given(deadline_seconds=0), ["/deadline_seconds"]),
        (given(deadline_seconds=-5), ["/deadline_seconds"]),
        (given(deadline_seconds=2_592_001), ["/deadline_seconds"]),
        (given(deadline_seconds="60"), ["/deadline_seconds"]),
        (given(deadline_seconds=True), ["/deadline_seconds"]),
        (given(deadline_seconds=1.5), ["/deadline_seconds"]),
        (given(max_cost_usd=1), ["/max_cost_usd"]),
        (given(max_cost_usd="0"), ["/max_cost_usd"]),
        (given(max_cost_usd="-1"), ["/max_cost_usd"]),
        (given(max_cost_usd="NaN"), ["/max_cost_usd"]),
        (given(max_cost_usd="1e3"), ["/max_cost_usd"]),
        (given(max_cost_usd="\u0661"), ["/max_cost_usd"]),
        (given(max_cost_usd="1.00000000001"), ["/max_cost_usd"]),
        (given(related={"type": "order"}), ["/related/id"]),
        (given(related={"type": "order", "id": 5}), ["/related/id"]),
        (given(related={"type": "order", "id": "5", "x": 1}), ["/related/x"]),
        (given(related={"type": "chat_session", "id": "5"}), ["/related/type"]),
        (given(related={"type": "Chat_Session", "id": "5"}), ["/related/type"]),
        (given(related={"type": "a b", "id": "5"}), ["/related/type"]),
        (given(related={"type": "a", "id": "x" * 201}), ["/related/id"]),
        (given(related="order:5"), ["/related"]),
        (given(metadata=[]), ["/metadata"]),
        (given(metadata={"a": 1}), ["/metadata/a"]),
        (given(metadata={"a/b": None}), ["/metadata/a~1b"]),
        (given(metadata={"a": "x" * 501}), ["/metadata/a"]),
        (given(metadata={"": "x"}), ["/metadata/"]),
        (given(metadata={"x" * 65: "x"}), ["/metadata/" + "x" * 65]),
        (given(metadata={"a]": "x"}), ["/metadata/a]"]),
        (given(metadata={f"k{place}": "v" for place in range(17)}), ["/metadata"]),
        (given(callback_url="ftp://example.com/"), ["/callback_url"]),
        (given(callback_url="javascript:alert(1)"), ["/callback_url"]),
        (given(callback_url="https://user:secret@example.com/"), ["/callback_url"]),
        (given(callback_url="https://example.com/" + "x" * 500), ["/callback_url"]),
        (given(callback_url="https://exa mple.com/"), ["/callback_url"]),
    ],
)
def test_a_member_of_the_wrong_shape_is_refused_with_its_pointer(
    post: Any, assert_problem: Any, assert_nothing_written: Any, body: dict[str, Any], pointers: list[str]
) -> None:
    assert_problem(post(body, headers={"Idempotency-Key": "once"}), 422, "invalid_input", *pointers)
    assert_nothing_written()


def test_an_empty_body_lacks_everything(post: Any, assert_problem: Any, assert_nothing_written: Any) -> None:
    assert_problem(post(b""), 422, "invalid_input", "/type", "/input")
    assert_nothing_written()


@pytest.mark.parametrize("name", ["image.generate", "chat.reply", "TEXT.GENERATE", "__class__"])
def test_an_unknown_or_reserved_type_is_refused(
    post: Any, assert_problem: Any, assert_nothing_written: Any, name: str
) -> None:
    assert_problem(post(given(type=name)), 422, "unknown_task_type", "/type")
    assert_nothing_written()


@pytest.mark.parametrize("model", ["no-such-route", "nobody/model-1", "simulator/", "/", "openai/gpt-5", "a b"])
def test_a_model_that_nobody_serves_is_refused(
    post: Any, assert_problem: Any, assert_nothing_written: Any, model: str
) -> None:
    assert_problem(post(given(model=model)), 422, "unknown_model", "/model")
    assert_nothing_written()


@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data; boundary=x", "application/xml"])
def test_another_media_type_is_not_supported(
    post: Any, assert_problem: Any, assert_nothing_written: Any, media_type: str
) -> None:
    assert_problem(post(json.dumps(PROMPT), content_type=media_type), 415, "unsupported_media_type")
    assert_nothing_written()


def test_a_charset_beside_the_media_type_does_no_harm(post: Any) -> None:
    assert post(json.dumps(PROMPT), content_type="application/json; charset=utf-8").status_code == 202


def test_a_body_of_two_megabytes_is_too_large(post: Any, assert_problem: Any, assert_nothing_written: Any) -> None:
    body = given(input={"prompt": "x" * 2_000_000})

    assert_problem(post(body), 413, "payload_too_large")
    assert_nothing_written()


def with_picture(text: str, picture: str, **part: str) -> Any:
    image = {"type": "image", "media_type": "image/png", "data": picture} | part
    content = [{"type": "text", "text": text}, image]
    return given(input={"messages": [{"role": "user", "content": content}]})


def test_pictures_may_have_nearly_twenty_megabytes(post: Any) -> None:
    assert post(with_picture("What is this?", "iVBO" * 4_500_000)).status_code == 202


def test_what_is_not_pictures_is_bound_as_without_them(
    post: Any, assert_problem: Any, assert_nothing_written: Any
) -> None:
    assert_problem(post(with_picture("x" * 1_000_001, "iVBO" * 100)), 413, "payload_too_large")
    assert_problem(post(with_picture("What is this?", "iVBO" * 6_000_000)), 413, "payload_too_large")
    assert_problem(post(with_picture("What is this?", "", url="https://" + "x" * 2_000_000)), 413, "payload_too_large")
    assert_nothing_written()


@pytest.mark.parametrize("wait", ["soon", "-1", "1.5", "", "1e3", "٣"])
def test_a_wait_that_is_no_number_is_refused(
    post: Any, assert_problem: Any, assert_nothing_written: Any, wait: str
) -> None:
    assert_problem(post(PROMPT, query_params={"wait": wait}), 422, "invalid_input", "?wait")
    assert_nothing_written()


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there", "schl\xfcssel"])
def test_an_idempotency_key_that_cannot_be_stored_is_refused(
    post: Any, assert_problem: Any, assert_nothing_written: Any, key: str
) -> None:
    assert_problem(post(PROMPT, headers={"Idempotency-Key": key}), 422, "invalid_input", "Idempotency-Key")
    assert_nothing_written()


def test_a_full_queue_asks_to_come_back_later(post: Any, assert_problem: Any, assert_nothing_written: Any) -> None:
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.update(hard_mark=0)

    response = post(PROMPT, headers={"Idempotency-Key": "once"})

    problem = assert_problem(response, 429, "queue_full")
    assert problem["retryable"] is True
    assert int(response["Retry-After"]) > 0
    assert_nothing_written()


def test_a_used_up_budget_is_402(post: Any, assert_problem: Any, assert_nothing_written: Any) -> None:
    Budget.objects.create(scope=Budget.Scope.GLOBAL, limit_usd=0)

    problem = assert_problem(post(PROMPT), 402, "budget_exceeded", members=("budget", "required_usd"))

    assert (problem["budget"]["scope"], problem["budget"]["limit_usd"], problem["budget"]["used_usd"]) == (
        "global",
        "0",
        "0",
    )
    assert problem["budget"]["resets_at"] in problem["detail"]
    assert_nothing_written()


def test_without_a_key_nothing_is_looked_at(client: Client, assert_problem: Any, assert_nothing_written: Any) -> None:
    response = client.post("/api/v1/tasks", b"{", content_type="application/json")

    assert_problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"
    assert_nothing_written()
