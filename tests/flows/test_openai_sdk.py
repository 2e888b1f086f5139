"""The official `openai` SDK with nothing changed but its `base_url`."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from config.programs import Standalone
from tests.flows.client import Api


@pytest.fixture(scope="module")
def client(standalone: Standalone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{standalone.url}/v1", api_key=standalone.api_key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def api(standalone: Standalone) -> Api:
    return Api(standalone.url, standalone.api_key)


def ask(client: openai.OpenAI, prompt: str = "Name a river.", **options: Any) -> Any:
    simulate = {"latency_ms": 0, "tokens_per_second": 0} | options.pop("simulate", {})
    messages = options.pop("messages", [{"role": "user", "content": prompt}])
    model = options.pop("model", "simulator/sim-1")
    return client.chat.completions.create(model=model, messages=messages, extra_body={"simulate": simulate}, **options)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_whole_answer_is_a_task_that_was_charged(client: openai.OpenAI, api: Api) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="default", messages=[{"role": "user", "content": "Name a river."}]
    )

    answer, task = raw.parse(), api.task(raw.headers["x-tasuki-task"])
    assert answer.id == f"chatcmpl-{task['id']}"
    assert (task["status"], task["output"]["text"]) == ("completed", answer.choices[0].message.content)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.total_tokens == task["usage"]["total_tokens"] > 0
    assert task["cost_usd"] is not None


def test_a_stream_says_the_same_as_the_task(client: openai.OpenAI, api: Api) -> None:
    text = "おはようございます、アリス。👋🏽 Good morning."

    chunks = list(
        ask(client, stream=True, stream_options={"include_usage": True}, simulate={"text": text, "reasoning": "Hm."})
    )

    task = api.task(chunks[0].id.removeprefix("chatcmpl-"))
    assert text_of(chunks) == text == task["output"]["text"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == task["usage"]["reasoning_tokens"] > 0
    assert chunks[-1].usage.total_tokens == task["usage"]["total_tokens"]


def test_an_answer_that_runs_into_its_cap_says_so(client: openai.OpenAI) -> None:
    answer = ask(client, max_completion_tokens=3, simulate={"text": "one two three four five six"})

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3


WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_tools_are_called_and_answered(client: openai.OpenAI) -> None:
    calls = [{"name": "get_weather", "arguments": {"city": "京都"}}]
    first = ask(client, tools=[WEATHER], tool_choice="auto", simulate={"tool_calls": calls}).choices[0]
    assert first.finish_reason == "tool_calls"
    call = first.message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "京都"}')

    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How is the weather?"}]},
        first.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "晴れ"},
    ]
    second = ask(client, messages=turns, tools=[WEATHER], simulate={"text": "It is sunny."})

    assert second.choices[0].message.content == "It is sunny."


def test_tool_calls_are_streamed_in_pieces(client: openai.OpenAI) -> None:
    calls = [{"name": "get_weather", "arguments": {"city": "京都"}}, {"name": "get_weather", "arguments": {}}]
    script = {"simulate": {"tool_calls": calls, "latency_ms": 0}}
    messages: Any = [{"role": "user", "content": "How is the weather?"}]

    with client.chat.completions.stream(
        model="simulator/sim-1", messages=messages, tools=[WEATHER], extra_body=script
    ) as stream:
        message = stream.get_final_completion().choices[0].message

    assert message.tool_calls
    assert [call.function.arguments for call in message.tool_calls] == ['{"city": "京都"}', "{}"]


class River(BaseModel):
    name: str
    length_km: int


def test_structured_output_is_parsed(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Name a river."}]
    script = {"simulate": {"text": '{"name": "Rhine", "length_km": 1233}', "latency_ms": 0}}

    answer = client.chat.completions.parse(
        model="simulator/sim-1", messages=messages, response_format=River, extra_body=script
    )

    assert answer.choices[0].message.parsed == River(name="Rhine", length_km=1233)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]

    assert {"default", "simulator/sim-1"} <= set(names)
    assert client.models.retrieve("simulator/sim-1").owned_by == "simulator"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nowhere")


@pytest.mark.parametrize(
    ("options", "kind", "code", "param"),
    [
        ({"model": "nowhere"}, openai.NotFoundError, "model_not_found", "model"),
        ({"messages": []}, openai.BadRequestError, "invalid_input", "messages"),
        ({"messages": [{"role": "bard"}]}, openai.BadRequestError, "invalid_input", "messages[0].role"),
        ({"temperature": 3}, openai.BadRequestError, "invalid_input", "temperature"),
        ({"n": 2}, openai.BadRequestError, "invalid_input", "n"),
        ({"logprobs": True}, openai.BadRequestError, "invalid_input", "logprobs"),
    ],
)
def test_what_is_refused_says_which_parameter(
    client: openai.OpenAI, options: dict[str, Any], kind: type[openai.APIStatusError], code: str, param: str
) -> None:
    with pytest.raises(kind) as caught:
        ask(client, **options)

    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_wrong_key_is_an_authentication_error(standalone: Standalone) -> None:
    stranger = openai.OpenAI(base_url=f"{standalone.url}/v1", api_key="sk-wrong", max_retries=0)

    with stranger, pytest.raises(openai.AuthenticationError) as caught:
        ask(stranger)

    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fail", "kind", "code"),
    [
        ("context_window_exceeded", openai.BadRequestError, "context_length_exceeded"),
        ("refusal", openai.BadRequestError, "content_policy_violation"),
        ("authentication_failed", openai.InternalServerError, "authentication_failed"),
    ],
)
def test_a_failure_before_the_first_word_has_its_status(
    client: openai.OpenAI, fail: str, kind: type[openai.APIStatusError], code: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        ask(client, stream=stream, simulate={"fail": fail})

    assert caught.value.code == code
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_stream_that_breaks_in_the_middle_ends_with_an_error_and_not_anew(client: openai.OpenAI, api: Api) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    stream = ask(client, stream=True, simulate={"text": text, "fail": "cut", "fail_after_tokens": 20, "fail_times": 1})
    said: list[Any] = []

    with pytest.raises(openai.APIError, match="middle"):
        said.extend(stream)
        said += list(stream)

    assert text.startswith(text_of(said))


def test_who_leaves_is_not_answered_and_pays_for_what_came(client: openai.OpenAI, api: Api) -> None:
    stream = ask(client, stream=True, simulate={"fail": "stall", "fail_after_tokens": 5})
    first = next(chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)

    stream.close()

    task_id = first.id.removeprefix("chatcmpl-")
    give_up_at = time.monotonic() + 30
    while (task := api.task(task_id))["finished_at"] is None and time.monotonic() < give_up_at:
        threading.Event().wait(0.1)
    assert task["status"] == "cancelled"
    assert task["cost_usd"] is not None


def test_the_same_idempotency_key_joins_the_same_task(client: openai.OpenAI) -> None:
    once = {"Idempotency-Key": "the one river"}

    first, again = (ask(client, extra_headers=once, simulate={"text": "Rhine"}) for _ in range(2))

    assert first.id == again.id


def test_an_address_that_is_not_there_says_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.moderations.create(input="Hello")

    assert caught.value.code == "not_found"


def test_texts_become_vectors_which_are_a_task(client: openai.OpenAI, api: Api) -> None:
    texts = ["a river", "襷"]
    raw = client.embeddings.with_raw_response.create(model="simulator/sim-1", input=texts, dimensions=12)

    answer, task = raw.parse(), api.task(raw.headers["x-tasuki-task"])
    again = client.embeddings.create(model="simulator/sim-1", input=texts, dimensions=12, encoding_format="float")

    assert [len(each.embedding) for each in answer.data] == [12, 12]
    assert answer.data[1].embedding == pytest.approx(again.data[1].embedding)
    assert (task["type"], task["status"]) == ("embedding.create", "completed")
    assert answer.usage.total_tokens == task["usage"]["total_tokens"] > 0


def test_tokens_are_no_texts(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Send texts"):
        client.embeddings.create(model="simulator/sim-1", input=[1, 2, 3])
