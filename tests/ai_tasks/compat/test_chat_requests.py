"""What a chat completion's body asks of a task."""

from typing import Any

import pytest

from ai_tasks.compat import chat_requests, errors
from ai_tasks.errors import InvalidInput

HELLO = [{"role": "user", "content": "Hello"}]


def input_of(**members: Any) -> Any:
    body = {"model": "default", "messages": HELLO} | members
    return chat_requests.wish_of(chat_requests.checked(body))["input"]


def test_settings_are_taken_over() -> None:
    given = input_of(max_tokens=5, max_completion_tokens=7, temperature=0.5, top_p=0.9, stop="\n", seed=1, user="alice")

    assert given == {
        "messages": HELLO,
        "max_output_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["\n"],
    }


def test_null_and_what_asks_for_nothing_are_left_out() -> None:
    nothing = dict.fromkeys(("tools", "stop", "temperature", "response_format", "max_tokens", "audio"))

    assert input_of(n=1, presence_penalty=0, frequency_penalty=0.0, logit_bias={}, **nothing) == {"messages": HELLO}


def test_pictures_and_texts_keep_their_order() -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
    ]

    (turn,) = input_of(messages=[{"role": "user", "content": content}])["messages"]

    assert turn["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "media_type": "image/png", "data": "iVBORw0KGgo="},
        {"type": "image", "url": "https://a.example/b.png"},
    ]


def test_several_texts_become_one() -> None:
    content = [{"type": "text", "text": "One."}, {"type": "refusal", "refusal": "Two."}]

    assert input_of(messages=[{"role": "assistant", "content": content}])["messages"][0]["content"] == "One.\nTwo."


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"schema": {"type": "object"}}),
        (
            {"type": "json_schema", "json_schema": {"name": "size", "schema": {}, "strict": None}},
            {"name": "size", "schema": {}},
        ),
    ],
)
def test_forms_of_answers(wanted: Any, expected: Any) -> None:
    assert input_of(response_format=wanted).get("answer_format") == expected


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"messages": "Hello"}, "/messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "/messages/0/content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "/messages/0/content/0"),
        ({"tools": [{"type": "web_search"}]}, "/tools/0"),
        ({"tool_choice": "perhaps"}, "/tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "/response_format"),
        ({"stream": "yes"}, "/stream"),
        ({"n": 2}, "/n"),
        ({"nonsense": 1}, "/nonsense"),
        ({"parallel_tool_calls": False}, "/parallel_tool_calls"),
    ],
)
def test_what_cannot_be_done_is_refused_at_its_place(members: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        input_of(**members)

    assert caught.value.errors[0].pointer.startswith(pointer)


def test_a_data_url_that_is_not_base64_is_refused() -> None:
    content = [{"type": "image_url", "image_url": {"url": "data:image/png,abc"}}]

    with pytest.raises(InvalidInput) as caught:
        input_of(messages=[{"role": "user", "content": content}])

    assert caught.value.errors[0].pointer == "/messages/0/content/0/image_url/url"


@pytest.mark.parametrize("body", [[], "Hello", 5, None])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    with pytest.raises(InvalidInput):
        chat_requests.checked(body)


@pytest.mark.parametrize(
    ("pointer", "param"),
    [("/input/messages/0/content", "messages[0].content"), ("/model", "model"), ("", None), ("/input", None)],
)
def test_a_place_is_written_as_openai_does(pointer: str, param: str | None) -> None:
    assert errors.param_of(pointer) == param
