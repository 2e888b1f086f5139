"""The official `anthropic` SDK against what the simulator serves."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam, TextBlock, ToolParam, ToolUseBlock

MORNING: list[MessageParam] = [{"role": "user", "content": "Good morning"}]
WEATHER: ToolParam = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {}}}}


@pytest.fixture
def client(simulator_url: str) -> Iterator[anthropic.Anthropic]:
    url = simulator_url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=url, api_key="sk-ant-alice", max_retries=0) as client:
        yield client


def test_it_takes_a_whole_answer(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model="sim-1", max_tokens=500, messages=MORNING, system="Be brief.")

    assert isinstance(message.content[0], TextBlock)
    assert "Good morning" in message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 9


def test_it_takes_a_stream(client: anthropic.Anthropic) -> None:
    script = {"text": "おはようございます", "reasoning": "A greeting."}
    with client.messages.stream(
        model="sim-1", max_tokens=4, messages=MORNING, extra_body={"simulate": script}
    ) as stream:
        said = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert said == "おはよ"
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens > 4


def test_it_takes_tool_calls_in_a_stream(client: anthropic.Anthropic) -> None:
    script = {"text": "Let me look.", "tool_calls": [{"name": "get_weather", "arguments": {"city": "京都"}}]}
    with client.messages.stream(
        model="sim-1", max_tokens=500, messages=MORNING, tools=[WEATHER], extra_body={"simulate": script}
    ) as stream:
        message = stream.get_final_message()

    text, call = message.content
    assert isinstance(text, TextBlock)
    assert isinstance(call, ToolUseBlock)
    assert (text.text, call.name, call.input) == ("Let me look.", "get_weather", {"city": "京都"})
    assert message.stop_reason == "tool_use"


def test_a_conversation_with_a_tool_can_go_on(client: anthropic.Anthropic) -> None:
    result: Any = [{"type": "tool_result", "tool_use_id": "call_1", "content": "晴れ"}]
    call: Any = [{"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "京都"}}]
    turns: list[MessageParam] = [
        *MORNING,
        {"role": "assistant", "content": call},
        {"role": "user", "content": result},
    ]

    assert client.messages.create(model="sim-1", max_tokens=500, messages=turns, tools=[WEATHER]).content


@pytest.mark.parametrize(
    ("fail", "expected"),
    [
        ("rate_limited", anthropic.RateLimitError),
        ("overloaded", anthropic.InternalServerError),
        ("unavailable", anthropic.InternalServerError),
        ("authentication_failed", anthropic.AuthenticationError),
        ("permission_refused", anthropic.PermissionDeniedError),
        ("model_not_found", anthropic.NotFoundError),
        ("refusal", anthropic.BadRequestError),
        ("context_window_exceeded", anthropic.BadRequestError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_it_takes_a_failure(
    client: anthropic.Anthropic, fail: str, expected: type[anthropic.APIStatusError], stream: bool
) -> None:
    with pytest.raises(expected):
        client.messages.create(
            model="sim-1", max_tokens=5, messages=MORNING, stream=stream, extra_body={"simulate": {"fail": fail}}
        )


def test_it_takes_a_failure_inside_a_stream(client: anthropic.Anthropic) -> None:
    script = {"fail": "overloaded", "fail_after_tokens": 5}
    stream = client.messages.create(
        model="sim-1", max_tokens=500, messages=MORNING, stream=True, extra_body={"simulate": script}
    )

    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        list(stream)


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 0},
        {"max_tokens": None},
        {"messages": []},
        {"messages": 5},
        {"messages": [{"role": "system", "content": "a"}]},
        {"messages": [{"role": "user", "content": 5}, 5]},
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"tools": [{"name": ""}]},
        {"simulate": []},
        {"model": ""},
    ],
)
def test_a_bad_request_is_told_so(client: anthropic.Anthropic, body: Any) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="sim-1", max_tokens=5, messages=MORNING, extra_body=body)

    assert "invalid_request_error" in str(caught.value)
