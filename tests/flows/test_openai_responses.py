"""The official `openai` SDK's Responses with nothing changed but its `base_url`."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from config.programs import Standalone
from tests.flows.client import Api, eventually

QUICK = {"latency_ms": 0, "tokens_per_second": 0}
SLOW = {"latency_ms": 0, "tokens_per_second": 60, "output_tokens": 600}
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
CALLS = [{"name": "weather", "arguments": {"city": "Kyoto"}}]


@pytest.fixture(scope="module")
def client(standalone: Standalone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{standalone.url}/v1", api_key=standalone.api_key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def api(standalone: Standalone) -> Api:
    return Api(standalone.url, standalone.api_key)


def ask(client: openai.OpenAI, asked: Any = "Name a river.", simulate: Any = None, **options: Any) -> Any:
    simulate = QUICK | (simulate or {})
    return client.responses.create(model="simulator/sim-1", input=asked, extra_body={"simulate": simulate}, **options)


def task_of(api: Api, response_id: str) -> Any:
    return api.task(response_id.removeprefix("resp_"))


def ended(client: openai.OpenAI, response_id: str) -> Any:
    eventually(lambda: client.responses.retrieve(response_id).status not in ("queued", "in_progress"), "it ended")
    return client.responses.retrieve(response_id)


def test_a_response_is_a_task_that_can_be_retrieved(client: openai.OpenAI, api: Api) -> None:
    made = ask(client, instructions="Be brief.", metadata={"a": "b"}, max_output_tokens=500, temperature=0.5)

    task = task_of(api, made.id)
    assert (made.status, made.output_text) == ("completed", task["output"]["text"])
    assert task["input"]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (task["input"]["max_output_tokens"], task["metadata"]) == (500, {"a": "b"})
    assert made.usage.total_tokens == task["usage"]["total_tokens"] > 0
    assert client.responses.retrieve(made.id) == made


def test_a_conversation_goes_on_from_a_response(client: openai.OpenAI, api: Api) -> None:
    first = ask(client, instructions="Be brief.", simulate={"text": "The Rhine."})

    second = ask(client, "And another?", previous_response_id=first.id, instructions="Be long.")

    turns = [(turn["role"], turn["content"]) for turn in task_of(api, second.id)["input"]["messages"]]
    assert turns == [
        ("system", "Be long."),
        ("user", "Name a river."),
        ("assistant", "The Rhine."),
        ("user", "And another?"),
    ]
    assert second.previous_response_id == first.id


def test_a_stream_says_the_same_as_the_response(client: openai.OpenAI) -> None:
    events = list(ask(client, stream=True, simulate={"text": "おはようございます。👋🏽 Good morning."}))

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].type, events[1].type] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == events[-1].response.output_text == "おはようございます。👋🏽 Good morning."
    assert client.responses.retrieve(events[0].response.id) == events[-1].response


def test_the_sdks_own_accumulation_of_a_stream_agrees(client: openai.OpenAI) -> None:
    with client.responses.stream(
        model="simulator/sim-1", input="Name a river.", extra_body={"simulate": QUICK}
    ) as stream:
        for _ in stream:
            pass
        whole = stream.get_final_response()

    assert whole.output_text == client.responses.retrieve(whole.id).output_text


def test_in_the_background_it_is_polled(client: openai.OpenAI) -> None:
    made = ask(client, background=True, simulate={"latency_ms": 300})

    assert made.status in ("queued", "in_progress")
    assert made.background is True
    assert ended(client, made.id).status == "completed"


def test_a_cancel_stops_the_provider(client: openai.OpenAI, api: Api) -> None:
    made = ask(client, background=True, simulate=SLOW)
    eventually(lambda: client.responses.retrieve(made.id).status == "in_progress", "it runs")

    cancelled = client.responses.cancel(made.id)

    assert cancelled.status == "cancelled"
    assert task_of(api, made.id)["status"] == "cancelled"
    assert client.responses.cancel(made.id).status == "cancelled"


def test_a_stream_in_the_background_outlives_its_client_and_resumes_anywhere(client: openai.OpenAI) -> None:
    seen = []
    with ask(client, background=True, stream=True, simulate=SLOW | {"output_tokens": 120}) as stream:
        for event in stream:
            seen.append(event)
            if len(seen) == 10:
                break
    response_id = seen[0].response.id

    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number))
    again = list(client.responses.retrieve(response_id, stream=True, starting_after=-1))

    assert again == seen + rest
    assert again[-1].type == "response.completed"
    assert again[-1].response.output_text == "".join(
        event.delta for event in again if event.type == "response.output_text.delta"
    )


def test_who_leaves_a_synchronous_response_has_it_cancelled(
    client: openai.OpenAI, standalone: Standalone, api: Api
) -> None:
    with ask(client, stream=True, simulate=SLOW | {"output_tokens": 3000}) as stream:
        response_id = next(iter(stream)).response.id

    eventually(lambda: task_of(api, response_id)["status"] == "cancelled", "it was cancelled", seconds=20)
    assert task_of(api, response_id)["cost_usd"] is not None


def test_tools_are_called_and_answered(client: openai.OpenAI, api: Api) -> None:
    first = ask(client, tools=[WEATHER], tool_choice="required", simulate={"tool_calls": CALLS})
    (call,) = first.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "weather", {"city": "Kyoto"})

    answer: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
    second = ask(client, [answer], previous_response_id=first.id, tools=[WEATHER], simulate={"text": "It rains."})
    by_hand = ask(client, [{"role": "user", "content": "Weather?"}, call.model_dump(), answer], tools=[WEATHER])

    assert second.output_text == "It rains."
    for each in (second, by_hand):
        roles = [turn["role"] for turn in task_of(api, each.id)["input"]["messages"]]
        assert roles == ["user", "assistant", "tool"]


def test_a_streamed_call_says_the_same(client: openai.OpenAI) -> None:
    events = list(ask(client, tools=[WEATHER], stream=True, simulate={"tool_calls": CALLS}))

    done = [event for event in events if event.type == "response.output_item.done"]
    assert [event.item for event in done] == events[-1].response.output
    arguments = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    assert json.loads(arguments) == {"city": "Kyoto"}


def test_an_answer_has_the_form_that_was_asked_for(client: openai.OpenAI) -> None:
    class Size(BaseModel):
        length_km: int

    parsed = client.responses.parse(
        model="simulator/sim-1",
        input="How long is it?",
        text_format=Size,
        extra_body={"simulate": QUICK | {"text": '{"length_km": 1233}'}},
    )

    assert parsed.output_parsed == Size(length_km=1233)


def test_an_answer_that_was_cut_is_incomplete(client: openai.OpenAI) -> None:
    cut = ask(client, max_output_tokens=2, simulate={"output_tokens": 50})

    assert cut.status == "incomplete"
    assert cut.incomplete_details.reason == "max_output_tokens"


def test_a_failure_has_its_status_and_in_a_stream_its_event(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(client, simulate={"fail": "refusal"})
    background = ask(client, background=True, simulate={"fail": "refusal"})
    events = list(ask(client, stream=True, simulate={"fail": "refusal"}))

    assert (events[-1].type, events[-1].response.error.code) == ("response.failed", "content_policy_violation")
    failed = ended(client, background.id)
    assert (failed.status, failed.error.code) == ("failed", "content_policy_violation")


def test_what_went_in_is_listed_and_pages(client: openai.OpenAI) -> None:
    made = ask(client, [{"role": "user", "content": str(number)} for number in range(5)])

    listed: list[Any] = [item.to_dict() for item in client.responses.input_items.list(made.id, order="asc", limit=2)]

    assert [item["content"][0]["text"] for item in listed] == ["0", "1", "2", "3", "4"]


def test_what_is_deleted_or_not_stored_is_not_found(client: openai.OpenAI) -> None:
    made, unstored = ask(client), ask(client, store=False)
    client.responses.delete(made.id)

    for response_id in (made.id, unstored.id, "resp_1", "resp_01a20924-1820-778a-9bf5-0c6b586e0342"):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(response_id)
        with pytest.raises(openai.NotFoundError):
            client.responses.cancel(response_id)
    with pytest.raises(openai.NotFoundError):
        ask(client, previous_response_id=made.id)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"asked": [{"type": "item_reference", "id": "a"}]}, "input[0]"),
        ({"asked": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
        ({"asked": [{"type": "function_call", "call_id": "a", "name": "b"}]}, "input[0]"),
        ({"background": True, "store": False}, "store"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
    ],
)
def test_what_is_not_supported_is_refused_with_its_place(client: openai.OpenAI, options: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **options)

    assert refused.value.param == param
