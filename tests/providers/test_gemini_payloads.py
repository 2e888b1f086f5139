"""Answers in the shapes of Gemini's documentation and SDK."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers.errors import ContentRefused, EmptyAnswer, MalformedAnswer
from providers.types import DeltaKind, FinishReason, ToolCall, Usage
from tests.providers import servers
from tests.providers.calls import Call

SetUp = Callable[..., None]


def call_of(answer: bytes, alice_ai: SetUp, **values: Any) -> Call:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url, adapter="gemini")
        call = Call("alice-ai", **values)
        call.error()
    return call


def whole_of(payload: Any, alice_ai: SetUp) -> Call:
    return call_of(servers.response(json.dumps(payload)), alice_ai, stream=False)


def test_a_stream(alice_ai: SetUp) -> None:
    call = call_of(servers.STREAM_HEAD + servers.events(servers.payload("gemini_stream"), done=False), alice_ai)

    completion = call.result()

    assert completion.text == "おはよう, Alice 🏃‍♀️\n"
    assert call.said(DeltaKind.REASONING) == "**Greeting**\n"
    assert completion.usage == Usage(input_tokens=19, output_tokens=10, reasoning_tokens=11)
    assert completion.provider_request_id == "GkZpaLzQNuaB"


def test_a_whole_answer(alice_ai: SetUp) -> None:
    completion = whole_of(servers.payload("gemini_whole"), alice_ai).result()

    assert completion.text == "Good morning, Alice."
    assert completion.usage == Usage(189, 1024, output_tokens=7, reasoning_tokens=40)


def test_tool_calls_get_ids_and_keep_their_mark(alice_ai: SetUp) -> None:
    completion = whole_of(servers.payload("gemini_tools"), alice_ai).result()

    assert completion.finish_reason == FinishReason.TOOL_CALLS
    assert completion.tool_calls == (
        ToolCall("y1ZpaN-0", "get_weather", '{"city": "京都"}', "CpQCAdHtim8="),
        ToolCall("y1ZpaN-1", "get_weather", '{"city": "大阪"}'),
    )


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_blocked_prompt_is_refused_and_billed_as_told(alice_ai: SetUp, is_stream: bool) -> None:
    blocked = servers.payload("gemini_blocked")
    stream = servers.STREAM_HEAD + servers.events([blocked], done=False)

    error = (call_of(stream, alice_ai) if is_stream else whole_of(blocked, alice_ai)).error()

    assert type(error) is ContentRefused
    assert "PROHIBITED_CONTENT" in str(error)
    assert error.usage == Usage(input_tokens=12)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", FinishReason.STOP),
        ("OTHER", FinishReason.STOP),
        ("A_REASON_FROM_THE_FUTURE", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("SAFETY", FinishReason.REFUSAL),
        ("RECITATION", FinishReason.REFUSAL),
        ("SPII", FinishReason.REFUSAL),
    ],
)
def test_a_finish_reason_is_put_in_our_words(alice_ai: SetUp, reason: str, expected: FinishReason) -> None:
    body = {"candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": reason}]}

    assert whole_of(body, alice_ai).result().finish_reason == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("SAFETY", ContentRefused),
        ("OTHER", EmptyAnswer),
        ("MALFORMED_FUNCTION_CALL", MalformedAnswer),
        ("UNEXPECTED_TOOL_CALL", MalformedAnswer),
    ],
)
def test_a_candidate_without_content_is_an_error(alice_ai: SetUp, reason: str, expected: type[Exception]) -> None:
    body = {"candidates": [{"finishReason": reason}], "usageMetadata": {"promptTokenCount": 7}}

    call = whole_of(body, alice_ai)

    assert type(call.error()) is expected
    assert call.bill().total_input >= 7
