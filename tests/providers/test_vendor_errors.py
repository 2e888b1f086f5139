"""Failures in the shapes that vendors send."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from providers import errors
from providers.adapters import retry_after
from providers.errors import ProviderError
from tests.providers import servers
from tests.providers.calls import Call

SetUp = Callable[..., None]
KEY = "sk-alice-0123456789-secret"


def error_of(answer: bytes, alice_ai: SetUp, *, adapter: str = "openai", **values: Any) -> ProviderError:
    with servers.vendor(answer) as vendor:
        alice_ai(vendor.url, adapter=adapter, key="ALICE_AI_KEY")
        found = Call("alice-ai", **values).error()
    assert isinstance(found, ProviderError)
    return found


@pytest.mark.parametrize("case", servers.payload("errors"), ids=lambda case: f"{case['from']}-{case['expect']}")
def test_a_vendor_s_error_is_put_in_our_words(alice_ai: SetUp, case: dict[str, Any]) -> None:
    body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])

    adapter = case["from"] if case["from"] in ("anthropic", "gemini") else "openai"
    error = error_of(servers.response(body, status=case["status"]), alice_ai, adapter=adapter)

    assert type(error) is getattr(errors, case["expect"])
    assert error.usage is not None
    assert error.usage.total == 0 or isinstance(error, errors.ProviderTimeout)
    assert str(error)
    assert "<" not in str(error)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"error": {"message": "Overloaded", "type": "overloaded_error"}}, errors.Overloaded),
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, errors.RateLimited),
        ({"error": {"message": "filtered", "code": "content_filter"}}, errors.ContentRefused),
        ({"error": {"message": "Provider disconnected", "code": 502}}, errors.Unavailable),
        ({"error": {"message": "no credits", "code": "402"}}, errors.QuotaExhausted),
        ({"error": "out of memory"}, errors.Unavailable),
        ({"error": ["?"]}, errors.Unavailable),
        ({"choices": [{"delta": {}, "finish_reason": "error"}]}, errors.Unavailable),
        ({"choices": [{"delta": {}, "error": {"code": 429}}]}, errors.RateLimited),
        ({"choices": [{"delta": {}, "finish_reason": "insufficient_system_resource"}]}, errors.Overloaded),
    ],
)
def test_an_error_inside_a_stream_is_named_and_keeps_what_came(
    alice_ai: SetUp, payload: Any, expected: type[ProviderError]
) -> None:
    chunks = [*servers.payload("openai_stream")[:2], payload]

    error = error_of(servers.STREAM_HEAD + servers.events(chunks), alice_ai)

    assert type(error) is expected
    assert error.partial == "おはよう"
    assert error.usage
    assert error.usage.output_tokens > 0


def test_a_filter_that_leaves_nothing_is_a_refusal(alice_ai: SetUp) -> None:
    body = {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}

    assert type(error_of(servers.response(json.dumps(body)), alice_ai)) is errors.ContentRefused


@pytest.mark.parametrize("where", ["status", "stream", "plain"])
def test_the_key_is_in_no_error_and_no_log(
    alice_ai: SetUp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    monkeypatch.setenv("ALICE_AI_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"error": {"message": f"Bad key {KEY}, Bearer {KEY} or sk-proj-bobs-other-key", "code": "x"}})
    answer = {
        "status": servers.response(body, status="401 Unauthorized"),
        "stream": servers.STREAM_HEAD + f"data: {body}\n\n".encode(),
        "plain": servers.response(f"no such key: {KEY}", status="500 Internal Server Error"),
    }[where]

    error = error_of(answer, alice_ai)

    assert "[key]" in str(error)
    assert KEY not in repr(error) + str(error.__cause__) + str(error.__context__) + caplog.text
    assert "bobs-other" not in str(error)


@pytest.mark.parametrize("message", ["x" * 100_000, "a\x00b\ud800c\n" * 1000, ["list"], {"a": 1}, 5, None])
def test_a_message_is_bounded_and_storable(alice_ai: SetUp, message: Any) -> None:
    body = json.dumps({"error": {"message": message}})

    text = str(error_of(servers.response(body, status="400 Bad Request"), alice_ai))

    assert 0 < len(text) <= 500
    assert not set(text) & {"\x00", "\ud800", "\n"}


def test_an_error_page_that_never_ends_is_cut(alice_ai: SetUp) -> None:
    async def say(writer: Any) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"oops " * 10_000)
            await writer.drain()

    with servers.vendor(say) as vendor:
        alice_ai(vendor.url)

        error = Call("alice-ai").error()

    assert type(error) is errors.Unavailable


def test_retry_after_comes_with_the_error(alice_ai: SetUp) -> None:
    error = error_of(servers.response("{}", status="429 Too Many Requests", Retry_After="7"), alice_ai)

    assert error.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "20"}, 20.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "20", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "Mon, 23 Nov 2026 06:00:30 GMT"}, 30.0),
        ({"Retry-After": "Mon, 23 Nov 2026 06:00:30 -0000"}, 30.0),
        ({"Retry-After": "Mon, 23 Nov 2020 06:00:30 GMT"}, 0.0),
        ({"Retry-After": "99999999999999999999"}, 3600.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "Mon, 23 Nov 9999 06:00:30 GMT"}, 3600.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e400"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_and_bounded(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after.from_headers(headers, datetime(2026, 11, 23, 6, 0, tzinfo=UTC)) == expected
