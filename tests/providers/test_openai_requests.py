"""What is sent to an OpenAI-compatible server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.adapters.openai import OpenAIAdapter
from providers.adapters.openai_wire import body_for
from providers.errors import AuthenticationFailed, Unavailable
from providers.types import CompletionRequest, Message, ProviderConfig
from tests.providers import servers
from tests.providers.calls import FAST, Call

SetUp = Callable[..., None]


@pytest.fixture
def answer() -> bytes:
    return servers.response(json.dumps(servers.payload("openai_whole")))


def test_a_streaming_request(alice_ai: SetUp, answer: bytes) -> None:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url)

        Call("alice-ai", "Good morning", max_output_tokens=77, temperature=0.5).result()

    assert vendor.heads[0].startswith("POST /v1/chat/completions HTTP/1.1")
    assert vendor.bodies == [
        {
            "model": "sim-1",
            "messages": [{"role": "user", "content": "Good morning"}],
            "max_tokens": 77,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.5,
        }
    ]


def test_a_request_for_the_whole_answer_has_no_stream_options(alice_ai: SetUp, answer: bytes) -> None:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url)

        Call("alice-ai", stream=False).result()

    assert vendor.bodies[0]["stream"] is False
    assert "stream_options" not in vendor.bodies[0]


def test_options_change_what_is_sent(alice_ai: SetUp, answer: bytes) -> None:
    with servers.vendor(answer) as vendor:
        alice_ai(f"{vendor.url}/", max_tokens_field="max_completion_tokens", include_usage=False)

        Call("alice-ai", max_output_tokens=5).result()

    assert vendor.bodies[0]["max_completion_tokens"] == 5
    assert not {"max_tokens", "stream_options"} & set(vendor.bodies[0])
    assert " /v1/chat/completions " in vendor.heads[0]


def test_a_server_that_cannot_stream_is_asked_for_the_whole_answer(alice_ai: SetUp, answer: bytes) -> None:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url, stream=False)

        Call("alice-ai", stream=True).result()

    assert vendor.bodies[0]["stream"] is False


def test_openai_itself_gets_the_newer_field() -> None:
    adapter = OpenAIAdapter(ProviderConfig("openai", "openai", "https://api.openai.com/v1"))

    assert adapter.max_tokens_field == "max_completion_tokens"


def test_the_script_is_sent_only_to_a_simulator(alice_ai: SetUp, answer: bytes) -> None:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url)
        Call("alice-ai", simulate={"seed": 1}).result()
        alice_ai(vendor.url, simulate=True)
        Call("alice-ai", simulate={"seed": 1}).result()

    assert [body.get("simulate") for body in vendor.bodies] == [None, FAST | {"seed": 1}]


def test_the_request_id_goes_with_it(alice_ai: SetUp, answer: bytes) -> None:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url)

        Call("alice-ai", request_id="0197.3").result()

        assert vendor.header("X-Request-Id") == vendor.header("Idempotency-Key") == "0197.3"


@pytest.mark.parametrize("request_id", ["a\r\nX-Evil: 1", "襷", "x" * 5000])
def test_no_request_id_breaks_the_head(alice_ai: SetUp, answer: bytes, request_id: str) -> None:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url)

        Call("alice-ai", request_id=request_id).result()

        assert vendor.header("X-Evil") is None
        assert len(vendor.header("X-Request-Id") or "") <= 200


def test_the_key_is_read_at_each_use(
    alice_ai: SetUp, answer: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text("sk-from-file\n")
    found = []
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url, key="ALICE_AI_KEY")
        for name, value in (("ALICE_AI_KEY_FILE", str(path)), ("ALICE_AI_KEY", " sk-first "), ("ALICE_AI_KEY", "sk-2")):
            monkeypatch.setenv(name, value)
            Call("alice-ai").result()
            found.append(vendor.header("Authorization"))

    assert found == ["Bearer sk-from-file", "Bearer sk-first", "Bearer sk-2"]


def test_without_a_key_no_authorization_is_sent(alice_ai: SetUp, answer: bytes) -> None:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url, key="ALICE_AI_KEY")

        Call("alice-ai").result()

        assert vendor.header("Authorization") is None


@pytest.mark.parametrize(("name", "value"), [("ALICE_AI_KEY", "sk-\nX: 1"), ("ALICE_AI_KEY_FILE", "/nowhere/key")])
def test_a_key_that_is_none_stops_the_call_unsent(
    alice_ai: SetUp, answer: bytes, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url, key="ALICE_AI_KEY")

        error = Call("alice-ai").error()

    assert type(error) is AuthenticationFailed
    assert value not in str(error)
    assert vendor.connections == 0


def test_redirects_are_not_followed(alice_ai: SetUp, answer: bytes) -> None:
    with servers.vendor(answer) as elsewhere:
        moved = servers.response("", status="307 Temporary Redirect", Location=f"{elsewhere.url}/chat/completions")
        with servers.vendor(moved) as vendor:
            alice_ai(vendor.url)

            error = Call("alice-ai").error()

    assert type(error) is Unavailable
    assert elsewhere.connections == 0


def test_proxies_of_the_environment_are_not_used(
    alice_ai: SetUp, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url)

        assert Call("alice-ai").result().text


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_connection_is_used_again(alice_ai: SetUp, answer: bytes, is_stream: bool) -> None:
    said = servers.in_chunk(servers.events(servers.payload("openai_stream"))) + b"0\r\n\r\n"
    whole = answer.replace(b"Connection: close\r\n", b"")
    with servers.vendor(servers.CHUNKED_HEAD + said if is_stream else whole, keep_alive=True) as vendor:
        alice_ai(vendor.url)

        for _ in range(3):
            Call("alice-ai").result()

    assert (len(vendor.bodies), vendor.connections) == (3, 1)


def test_no_text_breaks_the_body() -> None:
    turns = (Message("user", 'a\x00\ud800\u2028"\\'),)
    request = CompletionRequest("m", turns, 5)

    body = body_for(request, max_tokens_field="max_tokens", include_usage=True)

    assert body["messages"][0]["content"] == 'a\ufffd\ufffd\u2028"\\'
