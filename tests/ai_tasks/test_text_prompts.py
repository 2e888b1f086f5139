"""`text.generate` with conversations, pictures, tools and forms of answers."""

from typing import Any

import pytest

from ai_tasks.errors import InvalidInput
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest, submit
from ai_tasks.task_types import text
from providers import gateway
from providers.types import AnswerFormat, Image, Message, Tool, ToolCall
from queueing.models import QueueEntry
from tests.engine import run_admitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]

PICTURE = {"type": "image", "media_type": "image/png", "data": "iVBORw0KGgo="}
CALL = {"id": "call_1", "name": "get_weather", "arguments": '{"city": "京都"}', "signature": "c2ln"}
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "晴れ"},
    {"role": "user", "content": [{"type": "image", "url": "https://a.example/b.png"}]},
]
PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Tells the weather.", "parameters": PLACE}


def task_of(alice: Any, **given: Any) -> AIGenerationTask:
    return submit(alice, TaskRequest(type="text.generate", input={"prompt": "Hello"} | given))


def test_a_conversation_becomes_the_prompt(alice: Any) -> None:
    given = {
        "messages": TURNS,
        "tools": [WEATHER],
        "tool_choice": "get_weather",
        "answer_format": {"schema": PLACE, "strict": True},
    }
    task = submit(alice, TaskRequest(type="text.generate", input=given))

    prompt = text.build(task)

    assert prompt.messages == (
        Message("system", "Be brief."),
        Message("user", ("What is this?", Image("image/png", "iVBORw0KGgo="))),
        Message("assistant", "", (ToolCall("call_1", "get_weather", '{"city": "京都"}', "c2ln"),)),
        Message("tool", "晴れ", tool_call_id="call_1"),
        Message("user", (Image("", url="https://a.example/b.png"),)),
    )
    assert prompt.tools == (Tool("get_weather", "Tells the weather.", PLACE),)
    assert (prompt.tool_choice, prompt.answer_format) == ("get_weather", AnswerFormat(PLACE, strict=True))


def test_pictures_tools_and_forms_are_reserved_for(alice: Any) -> None:
    plain = QueueEntry.objects.get(task_id=task_of(alice).pk).estimate_input_tokens
    asked = [{"role": "user", "content": [PICTURE]}]
    given = {"messages": asked, "tools": [WEATHER], "answer_format": {"schema": PLACE}}

    task = submit(alice, TaskRequest(type="text.generate", input=given))

    estimate = QueueEntry.objects.get(task_id=task.pk).estimate_input_tokens
    prompt = text.build(task)
    assert estimate > plain + 5_000 + 600 + 300
    assert estimate == gateway.estimate_input_tokens(
        prompt.messages, tools=prompt.tools, answer_format=prompt.answer_format
    )


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"tools": [WEATHER, WEATHER]}, "/input/tools"),
        ({"tools": [{"name": "auto"}]}, "/input/tools/0/name"),
        ({"tools": [{"name": "a b"}]}, "/input/tools/0/name"),
        ({"tools": [WEATHER | {"parameters": {"type": "objekt"}}]}, "/input/tools/0/parameters"),
        ({"tool_choice": "get_weather"}, "/input/tool_choice"),
        ({"answer_format": {"schema": {"$ref": "https://a.example/b.json"}}}, "/input/answer_format/schema"),
        ({"answer_format": {}}, "/input/answer_format"),
        ({"answer_format": {"schema": PLACE, "name": "no spaces"}}, "/input/answer_format/name"),
    ],
)
def test_tools_and_forms_that_cannot_be_are_refused_with_their_place(alice: Any, given: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        task_of(alice, **given)

    assert [mistake.pointer for mistake in caught.value.errors] == [pointer]
    assert not AIGenerationTask.objects.exists()


@pytest.mark.parametrize(
    ("turn", "pointer"),
    [
        ({"role": "user"}, "/input/messages/0"),
        ({"role": "user", "content": ""}, "/input/messages/0"),
        ({"role": "user", "content": []}, "/input/messages/0/content"),
        ({"role": "user", "content": "a", "tool_calls": [CALL]}, "/input/messages/0"),
        ({"role": "user", "content": "a", "tool_call_id": "call_1"}, "/input/messages/0"),
        ({"role": "tool", "content": "a"}, "/input/messages/0"),
        ({"role": "tool", "content": "a", "tool_call_id": "call_1"}, "/input/messages/0"),
        ({"role": "assistant", "content": [PICTURE]}, "/input/messages/0"),
        ({"role": "user", "content": [PICTURE | {"data": "no base64!"}]}, "/input/messages/0/content/0/data"),
        (
            {"role": "user", "content": [PICTURE | {"media_type": "text/html"}]},
            "/input/messages/0/content/0/media_type",
        ),
        (
            {"role": "user", "content": [{"type": "image", "url": "http://10.0.0.1/"}]},
            "/input/messages/0/content/0/url",
        ),
        ({"role": "user", "content": [PICTURE | {"url": "https://a.example"}]}, "/input/messages/0/content/0"),
        ({"role": "user", "content": [{"type": "text"}]}, "/input/messages/0/content/0"),
        ({"role": "user", "content": [{"type": "video"}]}, "/input/messages/0/content/0/type"),
    ],
)
def test_turns_that_cannot_be_are_refused_with_their_place(alice: Any, turn: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        submit(alice, TaskRequest(type="text.generate", input={"messages": [turn]}))

    assert pointer in [mistake.pointer for mistake in caught.value.errors]


def test_tool_calls_are_in_the_output(alice: Any) -> None:
    wanted = [{"name": "get_weather", "arguments": {"city": "京都"}}]
    task = task_of(alice, tools=[WEATHER], simulate={"tool_calls": wanted, "latency_ms": 0})

    run_admitted()

    task.refresh_from_db()
    assert task.output == {
        "text": "",
        "finish_reason": "tool_calls",
        "truncated": False,
        "tool_calls": [{"id": "call_0", "name": "get_weather", "arguments": '{"city": "京都"}'}],
    }


def test_an_answer_of_another_form_is_an_attempt_of_its_own(alice: Any) -> None:
    task = task_of(alice, answer_format={"schema": PLACE}, simulate={"text": "Kyoto!", "latency_ms": 0})

    run_admitted()

    task.refresh_from_db()
    attempt = task.attempts.get()
    assert (task.status, task.tries) == ("pending", 1)
    assert (attempt.state, attempt.error_class) == ("failed", "malformed_answer")
    assert attempt.ledger.get().amount_usd > 0
