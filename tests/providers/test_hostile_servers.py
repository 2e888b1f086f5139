"""Servers that do what no documentation says, in every format."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from providers.errors import (
    EmptyAnswer,
    IdleTimeout,
    MalformedAnswer,
    Overloaded,
    ProviderError,
    StreamCut,
    Unavailable,
)
from providers.types import UsageSource
from tests.providers import servers
from tests.providers.calls import Call
from tests.providers.formats import ANSWER, FORMATS, Format

SetUp = Callable[..., None]


@pytest.fixture(params=FORMATS, ids=str)
def form(request: pytest.FixtureRequest) -> Format:
    found: Format = request.param
    return found


@pytest.fixture
def call_of(form: Format, alice_ai: SetUp) -> Callable[..., Call]:
    def call(say: servers.Say | bytes, *, stream: bool = True, **options: Any) -> Call:
        with servers.vendor(say) as vendor:
            alice_ai(vendor.url, adapter=form.adapter, **form.options, **options)
            made = Call("alice-ai", stream=stream)
            made.error()
        return made

    return call


CallOf = Callable[..., Call]


def in_pieces(said: bytes) -> servers.Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.CHUNKED_HEAD)
        for byte in said:
            writer.write(servers.in_chunk(bytes([byte])))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    return say


def test_a_stream_in_single_bytes(form: Format, call_of: CallOf) -> None:
    completion = call_of(in_pieces(form.events())).result()

    assert completion.text == ANSWER
    assert completion.usage.source == UsageSource.PROVIDER


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_any_line_ending_will_do(form: Format, call_of: CallOf, end: bytes) -> None:
    assert call_of(servers.STREAM_HEAD + form.events().replace(b"\n", end)).result().text == ANSWER


def test_a_byte_order_mark_comments_and_other_fields_are_passed_over(form: Format, call_of: CallOf) -> None:
    noise = b": ping\n\nid: 5\nretry: 100\nevent: ping\n\n"
    said = b"\xef\xbb\xbf" + noise + form.events().replace(b"data: ", noise + b"data: ")

    assert call_of(servers.STREAM_HEAD + said).result().text == ANSWER


def test_usage_that_is_told_twice_counts_once(form: Format, call_of: CallOf) -> None:
    once = call_of(servers.STREAM_HEAD + form.events()).result().usage
    chunks = form.chunks()
    told = max(place for place, chunk in enumerate(chunks) if "sage" in json.dumps(chunk))

    twice = call_of(servers.STREAM_HEAD + form.events([*chunks[:told], chunks[told], *chunks[told:]])).result().usage

    assert twice == once


def zeroed(payload: Any) -> Any:
    """Return a payload in which every count of tokens is 0."""
    if isinstance(payload, list):
        return [zeroed(item) for item in payload]
    if not isinstance(payload, dict):
        return payload
    return {
        key: 0 if key.lower().endswith(("tokens", "tokencount")) and isinstance(value, int) else zeroed(value)
        for key, value in payload.items()
    }


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_took_no_tokens_is_not_believed(form: Format, call_of: CallOf, stream: bool) -> None:
    events, whole = form.events(zeroed(form.chunks())), json.dumps(zeroed(servers.payload(form.whole)))

    usage = call_of(servers.STREAM_HEAD + events if stream else servers.response(whole), stream=stream).bill()

    assert usage.source == UsageSource.ESTIMATED
    assert usage.total_input >= 9
    assert usage.total_output > 0


def test_every_cut_is_a_cut_that_keeps_what_came(form: Format, call_of: CallOf) -> None:
    chunks = form.chunks()
    for kept in range(1, len(chunks) - 2):
        call = call_of(servers.STREAM_HEAD + servers.events(chunks[:kept], done=False))

        assert type(call.error()) in (StreamCut, MalformedAnswer), kept
        assert ANSWER.startswith(call.error().partial)
        assert call.error().partial == call.said()
        assert call.bill().total_input > 0


def test_a_cut_inside_a_chunk_is_a_cut(form: Format, call_of: CallOf) -> None:
    said = servers.events(form.chunks()[: -2 if form.name != "gemini" else -1], done=False)

    assert type(call_of(servers.STREAM_HEAD + said[:-20]).error()) is StreamCut


def test_an_error_in_the_middle_is_named(form: Format, call_of: CallOf) -> None:
    call = call_of(servers.STREAM_HEAD + servers.events([*form.chunks()[:-1][:5], form.error], done=False))

    error = call.error()

    assert type(error) is Overloaded
    assert error.partial == call.said()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/octet-stream"])
def test_an_error_that_says_200_is_an_error(form: Format, call_of: CallOf, stream: bool, content_type: str) -> None:
    answer = servers.response(json.dumps(form.error), content_type=content_type)

    assert isinstance(call_of(answer, stream=stream).error(), Overloaded | MalformedAnswer)


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "", "text/event-stream"])
def test_a_stream_of_another_content_type_is_read(form: Format, call_of: CallOf, content_type: str) -> None:
    head = servers.STREAM_HEAD.replace(b"text/event-stream", content_type.encode())

    assert call_of(head + form.events()).result().text == ANSWER


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", "application/octet-stream"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_answer_of_another_content_type_is_read(
    form: Format, call_of: CallOf, content_type: str, stream: bool
) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(servers.payload(form.whole)).encode()

    assert len(call_of(servers.response(body, content_type=content_type), stream=stream).result().text) > 15


@pytest.mark.parametrize("status", ["200 OK", "502 Bad Gateway"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_web_page_is_no_answer(form: Format, call_of: CallOf, status: str, stream: bool) -> None:
    page = "<!DOCTYPE html><html><head><title>502</title></head><body><h1>sk-alice-secret-1234</h1></body></html>"

    error = call_of(servers.response(page, status=status, content_type="text/html"), stream=stream).error()

    assert type(error) is (MalformedAnswer if status.startswith("200") else Unavailable)
    assert "<" not in str(error)


def test_bytes_that_are_no_text_are_replaced(form: Format, call_of: CallOf) -> None:
    said = form.events().replace("おはよう".encode(), b"\xff\xfe\xe3\x81")

    text = call_of(servers.STREAM_HEAD + said).result().text

    assert text.endswith(", Alice 🏃‍♀️\n")
    assert "\N{REPLACEMENT CHARACTER}" in text


@pytest.mark.parametrize("line", [b"data: " + b"x" * 2_000_000, b"x" * 2_000_000, b"data: x\n" * 300_000])
def test_a_line_or_an_event_without_end_is_refused(form: Format, call_of: CallOf, line: bytes) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.STREAM_HEAD)
        while True:
            writer.write(line)
            await writer.drain()

    assert type(call_of(say).error()) is MalformedAnswer


def test_a_body_without_end_is_refused(form: Format, call_of: CallOf) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{")
        while True:
            writer.write(b" " * 1_000_000)
            await writer.drain()

    assert type(call_of(say, stream=False).error()) is MalformedAnswer


def test_a_slow_drip_of_bytes_that_say_nothing_is_not_waited_for(form: Format, call_of: CallOf) -> None:
    began = form.chunks()[: 5 if form.name == "responses" else 4 if form.name == "anthropic" else 2]

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(servers.STREAM_HEAD + servers.events(began, done=False))
        while True:
            writer.write(b":")
            await writer.drain()
            await asyncio.sleep(0.02)

    call = call_of(say, idle_seconds=0.2)

    assert type(call.error()) is IdleTimeout
    assert call.error().partial == "おはよう"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        "[]", "3", "null", "{}", '{"choices": 5}', '{"content": 5}', '{"candidates": 5}', '{"output": [5]}',
        '{"candidates": [{"content": {"parts": 7}}]}', '{"type": "content_block_delta", "delta": 3}',
        '{"type": "response.output_item.added", "item": 9}', "[" * 100_000, '{"a"', "1" * 5000, '{"error": {}}',
    ],
)  # fmt: skip
def test_what_is_not_an_answer_is_no_answer(form: Format, call_of: CallOf, body: str, stream: bool) -> None:
    answer = servers.STREAM_HEAD + f"data: {body}\n\n".encode() if stream else servers.response(body)

    assert isinstance(call_of(answer, stream=stream).error(), MalformedAnswer | EmptyAnswer | StreamCut)


def test_redirects_are_not_followed(form: Format, call_of: CallOf) -> None:
    with servers.vendor(form.whole_response()) as elsewhere:
        moved = servers.response("", status="308 Permanent Redirect", Location=elsewhere.url)

        error = call_of(moved).error()

    assert type(error) is Unavailable
    assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [100, 204, 205, 304, 418, 451, 499, 520, 599, 999])
def test_any_status_is_named(form: Format, call_of: CallOf, status: int) -> None:
    assert isinstance(call_of(servers.response("{}", status=f"{status} Odd")).error(), ProviderError)
