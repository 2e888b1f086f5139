"""policy: what becomes of a task after a failed attempt; nothing is read or written."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from ai_tasks import policy
from ai_tasks.policy import Step
from ai_tasks.task_types.text import TEXT_GENERATE
from providers.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextWindowExceeded,
    IdleTimeout,
    ModelNotFound,
    Overloaded,
    PermissionRefused,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    StreamCut,
    Unavailable,
)
from tests.engine import NOW, at

ONE, TWO = [["a", "m"]], [["a", "m"], ["b", "m"]]
RETRYABLE = (RateLimited, Overloaded, Unavailable, StreamCut, IdleTimeout)
HOPELESS = (AuthenticationFailed, PermissionRefused, ModelNotFound, QuotaExhausted, ContextWindowExceeded)


@dataclass
class Task:
    """What the policy reads of a task."""

    route: list[list[str]] = field(default_factory=lambda: ONE)
    route_position: int = 0
    tries: int = 1
    infrastructure_tries: int = 0
    crashes: int = 0
    deadline_at: datetime = NOW + timedelta(hours=1)
    cancel_requested_at: datetime | None = None
    max_cost_usd: Decimal | None = None
    cost_usd: Decimal | None = None
    route_policy: dict[str, dict[str, str]] = field(default_factory=dict)


def after(task: Task, error: ProviderError, now: datetime = NOW) -> policy.Decision:
    return policy.after_error(task, TEXT_GENERATE, error, now)


@pytest.mark.parametrize("error", RETRYABLE)
def test_what_may_pass_is_tried_again_later(error: type[ProviderError]) -> None:
    decision = after(Task(), error())

    assert decision.step == Step.RETRY
    assert decision.until is not None
    assert NOW <= decision.until <= at(60)


@pytest.mark.parametrize("error", [*RETRYABLE, *HOPELESS])
def test_the_next_candidate_is_asked_at_once(error: type[ProviderError]) -> None:
    assert after(Task(route=TWO), error()).step == Step.FALL_BACK


@pytest.mark.parametrize("error", HOPELESS)
def test_what_will_not_pass_fails_without_another_candidate(error: type[ProviderError]) -> None:
    assert after(Task(route=TWO, route_position=1), error()) == policy.Decision(Step.FAIL, "not_retryable")


@pytest.mark.parametrize("error", [ContentRefused, BadRequest])
def test_refused_content_and_bad_requests_never_fall_back(error: type[ProviderError]) -> None:
    assert after(Task(route=TWO), error()) == policy.Decision(Step.FAIL, "not_retryable")


def test_a_wish_to_cancel_comes_before_all_else() -> None:
    task = Task(route=TWO, cancel_requested_at=NOW, deadline_at=NOW)

    assert after(task, Unavailable()).step == Step.CANCEL
    assert policy.after_crash(task, NOW).step == Step.CANCEL


def test_a_passed_deadline_comes_next() -> None:
    task = Task(route=TWO, deadline_at=NOW)

    assert after(task, Unavailable()).step == Step.TIME_OUT
    assert policy.after_crash(task, NOW).step == Step.TIME_OUT


def test_used_up_tries_fail() -> None:
    assert after(Task(tries=TEXT_GENERATE.max_tries), StreamCut()).reason == "tries_used_up"
    assert after(Task(tries=TEXT_GENERATE.max_tries - 1), StreamCut()).step == Step.RETRY


def test_tries_that_a_provider_turned_away_are_counted_apart() -> None:
    task = Task(tries=0, infrastructure_tries=TEXT_GENERATE.max_infrastructure_tries)

    assert after(task, Unavailable()).reason == "tries_used_up"
    assert after(Task(tries=0, infrastructure_tries=49), Unavailable()).step == Step.RETRY


def test_the_provider_says_when_to_come_back() -> None:
    assert after(Task(), RateLimited(retry_after_seconds=30)).until == at(30)


@pytest.mark.parametrize(("said", "seconds"), [(None, 5), (-5, 0), (0, 0), (1e9, 3600)])
def test_what_the_provider_says_is_bounded(said: float | None, seconds: float) -> None:
    assert policy.retry_after(RateLimited(retry_after_seconds=said)) == timedelta(seconds=seconds)


def test_a_task_that_cost_what_it_may_is_not_tried_again() -> None:
    task = Task(route=TWO, max_cost_usd=Decimal("0.1"), cost_usd=Decimal("0.1"))

    assert after(task, StreamCut()).reason == "max_cost_reached"
    assert after(Task(max_cost_usd=Decimal("0.1"), cost_usd=None), StreamCut()).step == Step.RETRY


def test_the_first_crash_is_forgiven_the_second_backs_off_and_what_comes_then_runs_alone() -> None:
    first, second = (policy.after_crash(Task(crashes=number), NOW) for number in (1, 2))

    assert (first.step, first.until, first.is_alone) == (Step.RETRY, None, False)
    assert (second.step, second.until is not None, second.is_alone) == (Step.RETRY, True, True)


def test_only_a_crash_of_what_ran_alone_is_poison() -> None:
    among_others, alone = (policy.after_crash(Task(crashes=9), NOW, was_alone=was_alone) for was_alone in (False, True))

    assert (among_others.step, among_others.is_alone) == (Step.RETRY, True)
    assert (alone.step, alone.reason) == (Step.FAIL, "crashed")


@pytest.mark.parametrize("failures", [0, 1, 5, 20, 10_000])
def test_a_backoff_is_never_negative_and_never_longer_than_a_minute(failures: int) -> None:
    waits = [policy.backoff(failures) for _ in range(50)]

    assert all(timedelta(0) <= wait <= policy.LONGEST_BACKOFF for wait in waits)
