"""What becomes of a task after a failed attempt: decided here, carried out by ai_tasks.outcome."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from ai_tasks.task_types.base import TaskType
from providers.errors import ProviderError, RateLimited
from providers.types import AfterError

FIRST_BACKOFF = timedelta(seconds=0.5)
LONGEST_BACKOFF = timedelta(seconds=60)
LONGEST_RETRY_AFTER = timedelta(hours=1)
DEFAULT_RETRY_AFTER = timedelta(seconds=5)
CRASHES_AMONG_OTHERS = 2
"""Crashes that prove nothing: somebody else of the same process may be the cause. The next try runs alone."""

_random = random.SystemRandom()


class Step(Enum):
    """What to do next."""

    RETRY = "retry"
    """The same candidate again, at `until`."""
    FALL_BACK = "fall_back"
    """The route's next candidate, at once."""
    CANCEL = "cancel"
    TIME_OUT = "time_out"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step; `reason` is the dead letter's when there is none."""

    step: Step
    reason: str = ""
    until: datetime | None = None
    is_alone: bool = False
    """Only in a process of its own."""


def backoff(failures: int) -> timedelta:
    """Return a full-jitter wait: uniform between zero and a bound that doubles with each failure."""
    bound = min(FIRST_BACKOFF * 2 ** min(failures, 16), LONGEST_BACKOFF)
    return bound * _random.random()


def after_error(task: Any, task_type: TaskType, error: ProviderError, now: datetime) -> Decision:
    """Decide what follows the error; the task's counters and its cost include it already."""
    if task.cancel_requested_at:
        return Decision(Step.CANCEL)
    if now >= task.deadline_at:
        return Decision(Step.TIME_OUT, "deadline")
    if task.max_cost_usd is not None and (task.cost_usd or 0) >= task.max_cost_usd:
        return Decision(Step.FAIL, "max_cost_reached")
    said = _said_by_route(task, error)
    falls_back = error.falls_back if said is None else said == AfterError.FALL_BACK
    if falls_back and task.route_position + 1 < len(task.route):
        return Decision(Step.FALL_BACK)
    if said == AfterError.FAIL or not (error.retryable or said == AfterError.RETRY):
        return Decision(Step.FAIL, "not_retryable")
    if task.tries >= task_type.max_tries or task.infrastructure_tries >= task_type.max_infrastructure_tries:
        return Decision(Step.FAIL, "tries_used_up")
    if isinstance(error, RateLimited):
        return Decision(Step.RETRY, until=now + retry_after(error))
    return Decision(Step.RETRY, until=now + backoff(task.tries + task.infrastructure_tries))


def _said_by_route(task: Any, error: ProviderError) -> str | None:
    """Return what the task's route says follows such an error, the narrowest class first; None: nothing."""
    said: dict[str, str] = task.route_policy.get("on_error", {})
    codes = [kind.code for kind in type(error).__mro__ if issubclass(kind, ProviderError)]
    return next((said[code] for code in codes if code in said), None)


def after_crash(task: Any, now: datetime, *, was_alone: bool = False) -> Decision:
    """
    Decide what follows a lost worker; the task's counter includes it already.

    The first crash is forgiven, the second backs off, and what comes then runs alone: only a crash there is poison.
    """
    if task.cancel_requested_at:
        return Decision(Step.CANCEL)
    if now >= task.deadline_at:
        return Decision(Step.TIME_OUT, "deadline")
    if was_alone:
        return Decision(Step.FAIL, "crashed")
    until = now + backoff(task.crashes) if task.crashes > 1 else None
    return Decision(Step.RETRY, until=until, is_alone=task.crashes >= CRASHES_AMONG_OTHERS)


def retry_after(error: ProviderError) -> timedelta:
    """Return how long the provider wants to be left alone, within bounds."""
    if error.retry_after_seconds is None:
        return DEFAULT_RETRY_AFTER
    return min(timedelta(seconds=max(error.retry_after_seconds, 0)), LONGEST_RETRY_AFTER)
