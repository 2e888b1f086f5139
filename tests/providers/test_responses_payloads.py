"""Answers in the Responses format."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers import errors
from providers.types import DeltaKind, FinishReason, ToolCall, Usage
from tests.providers import servers
from tests.providers.calls import Call

SetUp = Callable[..., None]


def call_of(answer: bytes, alice_ai: SetUp, **values: Any) -> Call:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url, responses=True)
        call = Call("alice-ai", **values)
        call.error()
    return call


def test_a_stream(alice_ai: SetUp) -> None:
    chunks = servers.payload("openai_responses_stream")

    completion = call_of(servers.STREAM_HEAD + servers.events(chunks, done=False), alice_ai).result()

    assert completion.text == "おはよう, Alice 🏃‍♀️\n"
    assert completion.usage == Usage(input_tokens=37, output_tokens=11)
    assert completion.provider_request_id == "resp_67c9fdcecf488190"


def test_a_whole_answer(alice_ai: SetUp) -> None:
    call = call_of(servers.response(json.dumps(servers.payload("openai_responses_whole"))), alice_ai, stream=False)

    completion = call.result()

    assert completion.text == "In a peaceful grove, Alice."
    assert call.said(DeltaKind.REASONING) == "**Greeting**"
    assert completion.tool_calls == (ToolCall("call_unDb3U1I", "get_weather", '{"city":"京都"}'),)
    assert completion.finish_reason == FinishReason.TOOL_CALLS
    assert completion.usage == Usage(112, 1024, 100, 59, 128)


@pytest.mark.parametrize(
    ("why", "expected"), [("max_output_tokens", FinishReason.LENGTH), ("content_filter", FinishReason.REFUSAL)]
)
def test_an_incomplete_response_says_why(alice_ai: SetUp, why: str, expected: FinishReason) -> None:
    content = [{"type": "output_text", "text": "Good"}]
    body = {
        "status": "incomplete",
        "incomplete_details": {"reason": why},
        "output": [{"type": "message", "content": content}],
    }

    assert call_of(servers.response(json.dumps(body)), alice_ai, stream=False).result().finish_reason == expected


def test_a_refusal_is_an_answer_that_says_so(alice_ai: SetUp) -> None:
    content = [{"type": "refusal", "refusal": "I cannot help with that."}]
    body = {"status": "completed", "output": [{"type": "message", "content": content}]}

    completion = call_of(servers.response(json.dumps(body)), alice_ai, stream=False).result()

    assert (completion.text, completion.finish_reason) == ("I cannot help with that.", FinishReason.REFUSAL)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("server_error", errors.Unavailable),
        ("rate_limit_exceeded", errors.RateLimited),
        ("invalid_prompt", errors.ContentRefused),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_failed_response_is_named(alice_ai: SetUp, code: str, expected: type[Exception], is_stream: bool) -> None:
    response = {"id": "resp_1", "status": "failed", "error": {"code": code, "message": "No."}, "output": []}
    event = {"type": "response.failed", "response": response}
    stream = servers.STREAM_HEAD + servers.events([event], done=False)

    call = call_of(stream if is_stream else servers.response(json.dumps(response)), alice_ai, stream=is_stream)

    assert type(call.error()) is expected
