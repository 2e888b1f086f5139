"""Answers in the shapes of Anthropic's documentation and SDK."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers.errors import ContentRefused
from providers.types import DeltaKind, FinishReason, ToolCall, Usage, UsageSource
from tests.providers import servers
from tests.providers.calls import Call

SetUp = Callable[..., None]


def call_of(answer: bytes, alice_ai: SetUp, **values: Any) -> Call:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url, adapter="anthropic")
        call = Call("alice-ai", **values)
        call.error()
    return call


def stream_of(name: str) -> bytes:
    chunks = servers.payload(name)
    said = [f"event: {chunk['type']}\ndata: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode() for chunk in chunks]
    return servers.STREAM_HEAD.replace(b"Connection", b"request-id: req_alice\r\nConnection") + b"".join(said)


def test_a_stream(alice_ai: SetUp) -> None:
    completion = call_of(stream_of("anthropic_stream"), alice_ai).result()

    assert completion.text == "おはよう, Alice 🏃‍♀️\n"
    assert completion.usage == Usage(25, 1024, 100, 15, cache_write_1h_tokens=200)
    assert completion.provider_request_id == "req_alice"


def test_a_stream_with_thinking_and_a_tool_call(alice_ai: SetUp) -> None:
    call = call_of(stream_of("anthropic_tools_stream"), alice_ai)

    completion = call.result()

    assert completion.text == "Let me look."
    assert call.said(DeltaKind.REASONING) == "Which city?"
    assert completion.tool_calls == (ToolCall("toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", '{"city": "京都"}'),)
    assert completion.finish_reason == FinishReason.TOOL_CALLS
    assert completion.usage == Usage(input_tokens=472, output_tokens=59, reasoning_tokens=30)


def test_a_whole_answer(alice_ai: SetUp) -> None:
    call = call_of(servers.response(json.dumps(servers.payload("anthropic_whole"))), alice_ai, stream=False)

    completion = call.result()

    assert completion.text == "Hi! My name is Claude."
    assert call.said(DeltaKind.REASONING) == "A greeting."
    assert completion.tool_calls[0].arguments == '{"city": "京都"}'
    assert completion.usage == Usage(input_tokens=2095, output_tokens=503)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("pause_turn", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("refusal", FinishReason.REFUSAL),
    ],
)
def test_a_stop_reason_is_put_in_our_words(alice_ai: SetUp, reason: str, expected: FinishReason) -> None:
    body = {"content": [{"type": "text", "text": "ok"}], "stop_reason": reason}

    completion = call_of(servers.response(json.dumps(body)), alice_ai, stream=False).result()

    assert completion.finish_reason == expected
    assert completion.usage.source == UsageSource.ESTIMATED


def test_a_refusal_that_says_nothing_is_an_error(alice_ai: SetUp) -> None:
    body = {"content": [], "stop_reason": "refusal", "usage": {"input_tokens": 12, "output_tokens": 3}}

    error = call_of(servers.response(json.dumps(body)), alice_ai, stream=False).error()

    assert type(error) is ContentRefused
    assert error.usage == Usage(input_tokens=12, output_tokens=3)


def test_a_stream_that_is_cut_is_billed_no_less_than_the_vendor_said(alice_ai: SetUp) -> None:
    chunks = servers.payload("anthropic_stream")[:4]

    usage = call_of(servers.STREAM_HEAD + servers.events(chunks, done=False), alice_ai).bill()

    assert (usage.total_input, usage.source) == (1349, UsageSource.ESTIMATED)
    assert usage.output_tokens == 7
