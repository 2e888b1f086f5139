"""Answers in the shapes that vendors send, recorded from their documentation."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers.adapters.openai_wire import usage_of
from providers.errors import EmptyAnswer, MalformedAnswer
from providers.types import DeltaKind, FinishReason, Usage, UsageSource
from tests.providers import servers
from tests.providers.calls import Call

SetUp = Callable[..., None]


def call_of(answer: bytes, alice_ai: SetUp, **values: Any) -> Call:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url)
        call = Call("alice-ai", **values)
        call.error()
    return call


def test_a_whole_answer_of_openai(alice_ai: SetUp) -> None:
    whole = json.dumps(servers.payload("openai_whole"))

    call = call_of(servers.response(whole, x_request_id="req_alice"), alice_ai, stream=False)

    completion = call.result()
    assert completion.text == call.said() == "Hello! How can I help you, Alice?"
    assert completion.usage == Usage(
        input_tokens=195, cache_read_tokens=1024, output_tokens=10, reasoning_tokens=100, source=UsageSource.PROVIDER
    )
    assert completion.provider_request_id == "req_alice"


def test_a_stream_of_openai(alice_ai: SetUp) -> None:
    stream = servers.STREAM_HEAD + servers.events(servers.payload("openai_stream"))

    completion = call_of(stream, alice_ai).result()

    assert completion.text == "おはよう, Alice 🏃‍♀️\n"
    assert completion.usage == Usage(input_tokens=19, output_tokens=10)
    assert completion.provider_request_id == "chatcmpl-123"


def test_reasoning_of_deepseek_is_kept_apart(alice_ai: SetUp) -> None:
    call = call_of(servers.STREAM_HEAD + servers.events(servers.payload("deepseek_stream")), alice_ai)

    assert call.result().text == "Eleven."
    assert call.said(DeltaKind.REASONING) == "Nine and two."
    assert call.result().usage == Usage(input_tokens=13, output_tokens=3, reasoning_tokens=6)


def test_tool_calls_come_as_json(alice_ai: SetUp) -> None:
    call = call_of(servers.STREAM_HEAD + servers.events(servers.payload("openai_tools_stream")), alice_ai)

    completion = call.result()

    pieces = [json.loads(delta.data) for delta in call.deltas if delta.kind == DeltaKind.TOOL_CALL]
    assert "".join(piece["arguments"] for piece in pieces) == '{"city":"京都"}'
    assert [(found.name, found.arguments) for found in completion.tool_calls] == [("weather", '{"city":"京都"}')]
    assert completion.finish_reason == FinishReason.TOOL_CALLS
    assert completion.usage.source == UsageSource.ESTIMATED


def test_a_refusal_is_an_answer_that_says_so(alice_ai: SetUp) -> None:
    refusal = json.dumps(servers.payload("openai_refusal"))

    call = call_of(servers.response(refusal), alice_ai, stream=False)

    assert call.result().finish_reason == FinishReason.REFUSAL
    assert call.result().text == call.said(DeltaKind.REFUSAL) == "I'm sorry, I cannot assist with that."


def test_a_server_that_does_not_stream_although_asked(alice_ai: SetUp) -> None:
    whole = json.dumps(servers.payload("openai_whole"))

    assert call_of(servers.response(whole), alice_ai, stream=True).result().text.startswith("Hello!")


def test_a_server_that_streams_unasked(alice_ai: SetUp) -> None:
    stream = servers.STREAM_HEAD + servers.events(servers.payload("openai_stream"))

    assert call_of(stream, alice_ai, stream=False).result().text.startswith("おはよう")


def test_usage_is_counted_when_the_stream_does_not_tell(alice_ai: SetUp) -> None:
    chunks = servers.payload("openai_stream")[:-1]

    usage = call_of(servers.STREAM_HEAD + servers.events(chunks), alice_ai).result().usage

    assert usage.source == UsageSource.ESTIMATED
    assert usage.total_input > 0
    assert usage.output_tokens > 0


def test_content_in_parts_is_joined(alice_ai: SetUp) -> None:
    parts = [{"type": "text", "text": "Good "}, {"type": "text", "text": "morning"}]
    body = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}

    assert call_of(servers.response(json.dumps(body)), alice_ai).result().text == "Good morning"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("length", FinishReason.LENGTH), ("content_filter", FinishReason.REFUSAL), ("eos", FinishReason.STOP)],
)
def test_a_finish_reason_is_put_in_our_words(alice_ai: SetUp, reason: str, expected: FinishReason) -> None:
    body = {"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": reason}]}

    assert call_of(servers.response(json.dumps(body)), alice_ai).result().finish_reason == expected


def test_only_thoughts_up_to_the_cap_are_a_truncated_answer(alice_ai: SetUp) -> None:
    body = {"choices": [{"message": {"reasoning": "Let me see"}, "finish_reason": "length"}]}

    completion = call_of(servers.response(json.dumps(body)), alice_ai).result()

    assert completion.truncated
    assert completion.text == ""
    assert completion.usage.reasoning_tokens > 0


@pytest.mark.parametrize(
    "body",
    [
        "[]", "3", '"text"', "null", "{}", '{"choices": 5}', '{"choices": [5]}', '{"choices": [{"message": [1]}]}',
        '{"choices": [{"message": {"tool_calls": "x"}}]}', "[" * 100_000, '{"choices"', "\ufeff", "1" * 5000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_stream", [True, False])
def test_what_is_not_an_answer_is_malformed(alice_ai: SetUp, body: str, is_stream: bool) -> None:
    stream = servers.STREAM_HEAD + f"data: {body}\n\ndata: [DONE]\n\n".encode()

    error = call_of(stream if is_stream else servers.response(body), alice_ai).error()

    assert type(error) in (MalformedAnswer, EmptyAnswer)


@pytest.mark.parametrize("body", ["", " \n", '{"choices": []}', '{"choices": [{"message": {"content": ""}}]}'])
def test_an_answer_with_nothing_in_it_is_empty(alice_ai: SetUp, body: str) -> None:
    assert type(call_of(servers.response(body), alice_ai).error()) is EmptyAnswer


@pytest.mark.parametrize(
    "raw",
    [
        None, 5, [], {}, {"prompt_tokens": 5}, {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": True, "completion_tokens": 2}, {"prompt_tokens": "5", "completion_tokens": 2},
        {"prompt_tokens": 10**30, "completion_tokens": 2}, {"prompt_tokens": 1.5, "completion_tokens": 2},
    ],
)  # fmt: skip
def test_usage_that_makes_no_sense_is_no_usage(raw: object) -> None:
    assert usage_of(raw) is None


def test_usage_is_split_into_disjoint_buckets() -> None:
    raw = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 500},
        "completion_tokens_details": {"reasoning_tokens": 500},
    }

    usage = usage_of(raw)

    assert usage == Usage(0, 60, 40, 0, 50)
    assert usage.total == 150


def test_reasoning_beside_the_completion_is_added() -> None:
    raw = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 35,
        "completion_tokens_details": {"reasoning_tokens": 20},
    }

    assert usage_of(raw) == Usage(input_tokens=10, output_tokens=5, reasoning_tokens=20)
