"""The official `openai` SDK against what the simulator serves."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam


@pytest.fixture
def client(simulator_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulator_url, api_key="sk-alice", max_retries=0) as client:
        yield client


MORNING: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Good morning"}]


def test_it_takes_a_whole_answer(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="sim-1", messages=MORNING)

    assert "Good morning" in (completion.choices[0].message.content or "")
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_it_takes_a_stream_with_usage_at_the_end(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="sim-1",
        messages=MORNING,
        stream=True,
        stream_options={"include_usage": True},
        max_completion_tokens=6,
        extra_body={"simulate": {"text": "おはようございます、アリス"}},
    )

    chunks = list(stream)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "おはようご"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 6


def test_it_takes_a_stream_on_a_loop(simulator_url: str) -> None:
    async def said() -> str:
        async with openai.AsyncOpenAI(base_url=simulator_url, api_key="sk-alice", max_retries=0) as client:
            stream = await client.chat.completions.create(model="sim-1", messages=MORNING, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert "Good morning" in asyncio.run(said())


@pytest.mark.parametrize(
    ("fail", "expected", "code"),
    [
        ("rate_limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("overloaded", openai.InternalServerError, "server_overloaded"),
        ("unavailable", openai.InternalServerError, None),
        ("authentication_failed", openai.AuthenticationError, "invalid_api_key"),
        ("refusal", openai.BadRequestError, "content_filter"),
        ("context_window_exceeded", openai.BadRequestError, "context_length_exceeded"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_it_takes_a_failure(
    client: openai.OpenAI, fail: str, expected: type[openai.APIStatusError], code: str | None, stream: bool
) -> None:
    with pytest.raises(expected) as caught:
        client.chat.completions.create(
            model="sim-1",
            messages=MORNING,
            stream=stream,
            extra_body={"simulate": {"fail": fail, "retry_after_seconds": 1.5}},
        )

    assert caught.value.code == code
    assert caught.value.response.headers.get("retry-after") == ("2" if fail in ("rate_limited", "overloaded") else None)


def test_it_takes_a_failure_inside_a_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="sim-1",
        messages=MORNING,
        stream=True,
        extra_body={"simulate": {"fail": "unavailable", "fail_after_tokens": 5}},
    )

    with pytest.raises(openai.APIError, match="Simulated"):
        list(stream)


def test_its_second_attempt_succeeds_when_only_the_first_is_to_fail(client: openai.OpenAI) -> None:
    def create(attempt: int) -> ChatCompletion:
        return client.chat.completions.create(
            model="sim-1",
            messages=MORNING,
            extra_headers={"X-Request-Id": f"0197.{attempt}"},
            extra_body={"simulate": {"fail": "overloaded", "fail_times": 1}},
        )

    with pytest.raises(openai.InternalServerError):
        create(attempt=1)

    assert create(attempt=2).choices


def test_it_takes_tool_calls(client: openai.OpenAI) -> None:
    script = {"tool_calls": [{"name": "get_weather", "arguments": {"city": "京都"}}]}
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}

    completion = client.chat.completions.create(
        model="sim-1", messages=MORNING, tools=[tool], extra_body={"simulate": script}
    )

    call: Any = (completion.choices[0].message.tool_calls or [])[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "京都"}')
    assert completion.choices[0].finish_reason == "tool_calls"


def test_it_takes_a_response(client: openai.OpenAI) -> None:
    response = client.responses.create(model="sim-1", input="Good morning", instructions="Be brief.")

    assert "Good morning" in response.output_text
    assert response.status == "completed"
    assert response.usage
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_it_takes_a_stream_of_a_response(client: openai.OpenAI) -> None:
    script = {"text": "おはようございます", "reasoning": "A greeting.", "tool_calls": [{"name": "get_weather"}]}
    stream = client.responses.create(model="sim-1", input="Good morning", stream=True, extra_body={"simulate": script})

    events = list(stream)

    last = events[-1]
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta") == "おはようございます"
    )
    assert last.type == "response.completed"
    assert [item.type for item in last.response.output] == ["reasoning", "message", "function_call"]


def test_it_takes_a_failure_inside_the_stream_of_a_response(client: openai.OpenAI) -> None:
    script = {"fail": "unavailable", "fail_after_tokens": 5}
    stream = client.responses.create(model="sim-1", input="Good morning", stream=True, extra_body={"simulate": script})

    last = list(stream)[-1]

    assert last.type == "error"
    assert last.message == "Simulated: unavailable."


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_it_takes_vectors(client: openai.OpenAI, encoding: Any) -> None:
    given = {"encoding_format": encoding} if encoding == "float" else {}

    found = client.embeddings.create(model="sim-1", input=["a", "襷"], dimensions=8, **given)

    assert [len(row.embedding) for row in found.data] == [8, 8]
    assert sum(value * value for value in found.data[1].embedding) == pytest.approx(1)
    assert found.usage.total_tokens == 5


def test_it_lists_the_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["sim-1", "sim-large"]


@pytest.mark.parametrize(
    "body",
    [
        {"model": "", "messages": MORNING},
        {"model": "sim-1", "messages": []},
        {"model": "sim-1", "messages": [{"role": "user", "content": 5}]},
        {"model": "sim-1", "messages": MORNING, "max_tokens": -1},
        {"model": "sim-1", "messages": MORNING, "extra_body": {"simulate": {"fail": "everything"}}},
        {"model": "sim-1", "messages": MORNING, "extra_body": {"simulate": []}},
        {"model": "sim-1", "messages": MORNING, "extra_body": {"stream": "yes"}},
    ],
)
def test_a_bad_request_is_told_so(client: openai.OpenAI, body: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**body)

    assert caught.value.type == "invalid_request_error"
