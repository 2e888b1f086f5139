"""How often a key may call: counted over all processes, said in headers, refused with when to come back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from ai_tasks.access import throttle

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    cache.clear()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def refused(moment: datetime, limit: int = 10) -> int:
    standing = throttle.count("key:1", limit, moment)
    assert standing is not None
    return standing.retry_after_seconds


def test_so_many_calls_a_minute_are_granted() -> None:
    assert [bool(refused(at(second))) for second in range(12)] == [False] * 10 + [True] * 2


def test_the_window_slides_over_the_turn_of_the_minute() -> None:
    for second in range(50, 60):
        refused(at(second))

    assert refused(at(61))
    # At 90 s half of the ten calls have faded.
    assert [bool(refused(at(90))) for _ in range(6)] == [False] * 5 + [True]


def test_after_the_wait_that_it_names_the_next_call_is_granted() -> None:
    for calls, begins in ((10, 0), (10, 55), (3, 30)):
        cache.clear()
        for _ in range(calls):
            refused(at(begins), limit=calls)
        for second in (begins, begins + 2):
            wait = refused(at(second), limit=calls)
            assert 1 <= wait <= 120

        assert not refused(at(begins + 2 + wait), limit=calls)


def test_what_is_refused_does_not_count() -> None:
    for _ in range(500):
        refused(at(0))

    assert not refused(at(67))


def test_callers_do_not_share_their_counts() -> None:
    for _ in range(10):
        refused(at(0))

    other = throttle.count("key:2", 10, at(0))
    assert other is not None
    assert other.remaining == 9


def test_a_bounded_key_is_told_where_it_stands_and_when_to_come_back(
    client: Client, alice: User, key_of: Any, assert_problem: Any
) -> None:
    headers = {"Authorization": f"Bearer {key_of(alice, requests_per_minute=2)}"}

    first, _, third = (client.get("/api/v1/tasks", headers=headers) for _ in range(3))

    assert (first["X-RateLimit-Limit"], first["X-RateLimit-Remaining"]) == ("2", "1")
    assert 60 <= int(first["X-RateLimit-Reset"]) <= 120
    assert_problem(third, 429, "rate_limited")
    assert third["X-RateLimit-Remaining"] == "0"
    assert 1 <= int(third["Retry-After"]) <= 120


def test_under_v1_it_is_said_in_openais_words(client: Client, alice: User, key_of: Any) -> None:
    headers = {"Authorization": f"Bearer {key_of(alice, requests_per_minute=1)}"}

    first, second = (client.get("/v1/models", headers=headers) for _ in range(2))

    assert first["x-ratelimit-limit-requests"] == "1"
    assert first["x-ratelimit-reset-requests"].endswith("s")
    assert second.status_code == 429
    assert second.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(second["Retry-After"]) >= 1


def test_the_usual_limit_holds_for_keys_and_sessions_alike(
    client: Client, alice: User, headers: dict[str, str], settings: Any
) -> None:
    settings.AI_REQUESTS_PER_MINUTE = 1
    client.force_login(alice)

    by_key = [client.get("/api/v1/tasks", headers=headers).status_code for _ in range(2)]
    by_session = [client.get("/api/v1/tasks").status_code for _ in range(2)]

    assert (by_key, by_session) == ([200, 429], [200, 429])


def test_without_a_limit_nothing_is_counted(client: Client, headers: dict[str, str]) -> None:
    response = client.get("/api/v1/tasks", headers=headers)

    assert "X-RateLimit-Limit" not in response


def test_a_cache_that_is_away_stops_nobody(
    client: Client, alice: User, key_of: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "_rests_until", 0.0)
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
    }
    headers = {"Authorization": f"Bearer {key_of(alice, requests_per_minute=1)}"}

    codes = [client.get("/api/v1/tasks", headers=headers).status_code for _ in range(3)]

    assert codes == [200] * 3
    monkeypatch.setattr(throttle, "_rests_until", 0.0)


def test_pages_of_allowed_origins_may_call(client: Client, headers: dict[str, str], settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    allowed = client.options("/api/v1/tasks", headers={"Origin": "https://app.example", **asked})
    answered = client.get("/api/v1/tasks", headers=headers | {"Origin": "https://app.example"})
    other = client.options("/api/v1/tasks", headers={"Origin": "https://evil.example", **asked})
    page = client.get("/admin/login/", headers={"Origin": "https://app.example"})

    assert allowed["Access-Control-Allow-Origin"] == answered["Access-Control-Allow-Origin"] == "https://app.example"
    assert "authorization" in allowed["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answered
    assert "Access-Control-Allow-Origin" not in other
    assert "Access-Control-Allow-Origin" not in page
