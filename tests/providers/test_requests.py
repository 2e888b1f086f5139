"""What is sent to each vendor for one and the same request."""

from collections.abc import Callable
from typing import Any

import pytest

from providers.errors import BadRequest
from providers.types import AnswerFormat, Image, Message, Tool, ToolCall
from tests.providers import servers
from tests.providers.calls import Call
from tests.providers.formats import ANTHROPIC, CHAT, FORMATS, GEMINI, RESPONSES, Format

SetUp = Callable[..., None]

SCHEMA = {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}, "required": ["size"]}
WEATHER = Tool("get_weather", "Tells the weather.", SCHEMA)
CALL = ToolCall("call_1", "get_weather", '{"city": "京都"}', "c2ln")
CONVERSATION = (
    Message("system", "Be brief."),
    Message("user", ("What is this?", Image("image/png", "iVBORw0="), Image("", url="https://a.example/b.png"))),
    Message("assistant", "Let me look.", (CALL,)),
    Message("tool", "晴れ", tool_call_id="call_1"),
    Message("user", "And now?\x00\ud800"),
)


@pytest.fixture
def sent(alice_ai: SetUp) -> Callable[..., Any]:
    def send(form: Format, **values: Any) -> servers.Vendor:
        with servers.vendor(form.whole_response()) as vendor:
            alice_ai(vendor.url, adapter=form.adapter, **form.options, **values.pop("options", {}))
            Call("alice-ai", stream=False, **values).error()
            return vendor

    return send


Sent = Callable[..., servers.Vendor]


@pytest.fixture
def conversation(sent: Sent) -> Callable[[Format], Any]:
    def send(form: Format) -> Any:
        vendor = sent(
            form,
            messages=CONVERSATION,
            tools=(WEATHER,),
            tool_choice="get_weather",
            answer_format=AnswerFormat(SCHEMA, "size", strict=True),
            temperature=1.5,
            top_p=0.9,
            stop=() if form is RESPONSES else ("\n\n",),
            max_output_tokens=77,
        )
        return vendor.bodies[0]

    return send


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_a_conversation_as_each_vendor_documents_it(conversation: Callable[[Format], Any], form: Format) -> None:
    assert conversation(form) == servers.payload("requests")[form.name]


@pytest.mark.parametrize(
    ("form", "line"),
    [
        (CHAT, "POST /v1/chat/completions HTTP/1.1"),
        (RESPONSES, "POST /v1/responses HTTP/1.1"),
        (ANTHROPIC, "POST /v1/messages HTTP/1.1"),
        (GEMINI, "POST /v1/models/sim-1:generateContent HTTP/1.1"),
    ],
    ids=str,
)
def test_where_it_goes(sent: Sent, form: Format, line: str) -> None:
    assert sent(form).heads[0].splitlines()[0] == line


@pytest.mark.parametrize(
    ("form", "header"),
    [(CHAT, "Authorization"), (RESPONSES, "Authorization"), (ANTHROPIC, "x-api-key"), (GEMINI, "x-goog-api-key")],
    ids=str,
)
def test_the_key_stands_in_a_header_and_nowhere_else(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, form: Format, header: str
) -> None:
    monkeypatch.setenv("ALICE_AI_KEY", "sk-alice-secret")

    vendor = sent(form, options={"key": "ALICE_AI_KEY"})

    assert (vendor.header(header) or "").endswith("sk-alice-secret")
    assert vendor.heads[0].count("sk-alice-secret") == 1
    assert "secret" not in vendor.heads[0].splitlines()[0] + repr(vendor.bodies)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_the_request_s_id_goes_with_it(sent: Sent, form: Format) -> None:
    vendor = sent(form, request_id="0197.3\r\nX-Evil: 1")

    assert vendor.header("X-Request-Id") == "0197.3--X-Evil:-1"
    assert vendor.header("X-Evil") is None


@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_anthropic_keeps_the_prompt_where_that_is_wished(sent: Sent, ttl: str) -> None:
    body = sent(ANTHROPIC, options={"prompt_cache": ttl}).bodies[0]

    assert body["cache_control"] == {"type": "ephemeral", "ttl": ttl}


def test_anthropic_gets_no_blank_text(sent: Sent) -> None:
    turns = (Message("user", "Hello"), Message("assistant", " \n"), Message("user", ("", "\t", "again")))

    body = sent(ANTHROPIC, messages=turns).bodies[0]

    texts = [{"type": "text", "text": "Hello"}, {"type": "text", "text": "again"}]
    assert body["messages"] == [{"role": "user", "content": texts}]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("../../files", "models/..%2F..%2Ffiles"),
        ("models/../x?key=1#y", "models/..%2Fx%3Fkey=1%23y"),
    ],
)
def test_gemini_s_model_cannot_leave_its_place(sent: Sent, model: str, path: str) -> None:
    from_adapter = sent(GEMINI, model=model)

    assert from_adapter.heads[0].splitlines()[0] == f"POST /v1/{path}:generateContent HTTP/1.1"


@pytest.mark.parametrize("form", [ANTHROPIC, GEMINI], ids=str)
@pytest.mark.parametrize("arguments", ["[]", "no", "[" * 50_000, "5"])
def test_arguments_that_are_no_object_cannot_be_sent_on(sent: Sent, form: Format, arguments: str) -> None:
    turns = (Message("user", "a"), Message("assistant", "", (ToolCall("call_1", "get_weather", arguments),)))

    assert sent(form, messages=turns).connections == 0


@pytest.mark.parametrize("form", [ANTHROPIC, GEMINI], ids=str)
def test_a_prompt_without_a_turn_cannot_be_sent(alice_ai: SetUp, form: Format) -> None:
    alice_ai("http://127.0.0.1:1", adapter=form.adapter)

    assert type(Call("alice-ai", messages=(Message("system", "Be brief."),)).error()) is BadRequest


def test_a_stream_of_gemini_has_a_path_of_its_own(alice_ai: SetUp) -> None:
    with servers.vendor(servers.STREAM_HEAD + GEMINI.events()) as vendor:
        alice_ai(vendor.url.removesuffix("/v1"), adapter="gemini")

        Call("alice-ai").result()

    assert vendor.heads[0].startswith("POST /v1beta/models/sim-1:streamGenerateContent?alt=sse HTTP/1.1")
