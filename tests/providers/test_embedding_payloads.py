"""Vectors in the shapes that vendors send, and in those that they should not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from providers import gateway
from providers.errors import MalformedAnswer, RateLimited
from providers.types import Candidate, EmbeddingRequest, Usage, UsageSource
from tests.providers import servers

SetUp = Callable[..., None]


def asked(adapter: str, said: Any, alice_ai: SetUp, *, status: str = "200 OK") -> Any:
    body = said if isinstance(said, str) else json.dumps(said)
    with servers.vendor(servers.response(body, status=status)) as vendor:
        alice_ai(vendor.url, adapter=adapter)
        future = gateway.start_embedding(Candidate("alice-ai", "m"), EmbeddingRequest("", ("a", "襷")))
        return future.exception(10) or future.result()


def test_openai_s_are_put_in_their_order(alice_ai: SetUp) -> None:
    rows = [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}]

    found = asked("openai", {"data": rows, "usage": {"prompt_tokens": 7, "total_tokens": 7}}, alice_ai)

    assert found.vectors == ((1.0, 2.0), (3.0, 4.5))
    assert found.usage == Usage(input_tokens=7)


def test_gemini_s_usage_is_estimated(alice_ai: SetUp) -> None:
    found = asked("gemini", {"embeddings": [{"values": [1, 2]}, {"values": [3, 4]}]}, alice_ai)

    assert found.vectors == ((1.0, 2.0), (3.0, 4.0))
    assert (found.usage.source, found.usage.total) == (UsageSource.ESTIMATED, 5)


@pytest.mark.parametrize(
    "vector",
    ["5", "[]", "[true, 1]", '["1", 2]', "[NaN, 1]", "[Infinity, 1]", f"[1{'0' * 400}, 1]", "[1, 2, 3]", "null"],
)
@pytest.mark.parametrize("adapter", ["openai", "gemini"])
def test_what_is_no_vector_is_malformed(alice_ai: SetUp, adapter: str, vector: str) -> None:
    rows = f'[{{"embedding": [1, 2], "values": [1, 2]}}, {{"embedding": {vector}, "values": {vector}}}]'

    error = asked(adapter, f'{{"data": {rows}, "embeddings": {rows}}}', alice_ai)

    assert type(error) is MalformedAnswer
    assert error.usage is not None
    assert error.usage.total > 0


@pytest.mark.parametrize("adapter", ["openai", "gemini"])
def test_an_error_is_one_whatever_its_status(alice_ai: SetUp, adapter: str) -> None:
    error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}

    assert type(asked(adapter, error, alice_ai)) is RateLimited
    assert type(asked(adapter, error, alice_ai, status="429 Too Many Requests")) is RateLimited
