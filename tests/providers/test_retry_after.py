"""How long to wait, in all the places where vendors say it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.adapters import retry_after
from providers.errors import RateLimited
from tests.providers import servers
from tests.providers.calls import Call

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
SetUp = Callable[..., None]
MINUTE = [{"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}]
DAY = [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]


@pytest.mark.parametrize(
    ("headers", "details", "expected"),
    [
        ({"Retry-After": "20"}, [], 20.0),
        ({"Retry-After": "20", "retry-after-ms": "1500"}, [{"retryDelay": "34s"}], 1.5),
        ({}, [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}], 34.074824224),
        ({}, [5, {"retryDelay": 5}, {"retryDelay": "0s"}], 0.0),
        ({}, [{"retryDelay": "9999999s"}], 3600.0),
        ({}, [{"retryDelay": "soon"}], None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0.5s"}, [], 360.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, [], 0.02),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "20ms"}, [], None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "never"}, [], None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9" * 5000 + "s"}, [], None),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-23T06:00:42Z",
            },
            [],
            42.0,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "1m",
            },
            [],
            60.0,
        ),
        ({}, [], None),
    ],
)
def test_it_is_read_wherever_it_is_said(headers: dict[str, str], details: list[Any], expected: float | None) -> None:
    assert retry_after.of_refusal(headers, details, NOW) == expected


@pytest.mark.parametrize(
    ("headers", "details", "message", "expected"),
    [
        ({"x-ratelimit-remaining-tokens": "0"}, [], "", "tokens"),
        ({"anthropic-ratelimit-requests-remaining": "0"}, [], "", "requests"),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-remaining-requests": "0"}, [], "", ""),
        ({}, MINUTE, "You exceeded your current quota.", "requests"),
        ({}, DAY, "You exceeded your current quota.", "day"),
        ({}, [{"violations": [{"quotaId": "GenerateContentInputTokensPerModelPerMinute"}]}], "", "tokens"),
        ({}, [{"violations": 5}, {"violations": [5]}], "", ""),
        ({}, [], "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000", "tokens"),
        ({}, [], "Rate limit reached for gpt-4o on requests per min (RPM): Limit 3", "requests"),
        ({}, [], "Rate limit reached on requests per day (RPD): Limit 200", "day"),
        ({}, [], "Too many", ""),
    ],
)
def test_it_says_which_limit(headers: dict[str, str], details: list[Any], message: str, expected: str) -> None:
    assert retry_after.scope(headers, details, message, NOW) == expected


def test_both_come_with_the_error(alice_ai: SetUp) -> None:
    details = [*DAY, {"retryDelay": "34s"}]
    body = {"error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED", "details": details}}
    with servers.vendor(servers.response(json.dumps(body), status="429 Too Many Requests")) as vendor:
        alice_ai(vendor.url, adapter="gemini")

        error = Call("alice-ai").error()

    assert type(error) is RateLimited
    assert (error.scope, error.retry_after_seconds) == ("day", 34.0)
