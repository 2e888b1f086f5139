"""What becomes of a task after a failed attempt: decided here, carried out by ai_tasks.outcome."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from ai_tasks.task_types.base import TaskType
from providers.errors import ProviderError, RateLimited

FIRST_BACKOFF = timedelta(seconds=0.5)
LONGEST_BACKOFF = timedelta(seconds=60)
LONGEST_RETRY_AFTER = timedelta(hours=1)
DEFAULT_RETRY_AFTER = timedelta(seconds=5)
MAX_CRASHES = 5
"""Crashes after which a task is taken to be their cause."""

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
    if error.falls_back and task.route_position + 1 < len(task.route):
        return Decision(Step.FALL_BACK)
    if not error.retryable:
        return Decision(Step.FAIL, "not_retryable")
    if task.tries >= task_type.max_tries or task.infrastructure_tries >= task_type.max_infrastructure_tries:
        return Decision(Step.FAIL, "tries_used_up")
    if isinstance(error, RateLimited):
        return Decision(Step.RETRY, until=now + retry_after(error))
    return Decision(Step.RETRY, until=now + backoff(task.tries + task.infrastructure_tries))


def after_crash(task: Any, now: datetime) -> Decision:
    """Decide what follows a lost worker; the task's counter includes it already."""
    if task.cancel_requested_at:
        return Decision(Step.CANCEL)
    if now >= task.deadline_at:
        return Decision(Step.TIME_OUT, "deadline")
    if task.crashes >= MAX_CRASHES:
        return Decision(Step.FAIL, "crashed")
    return Decision(Step.RETRY, until=now + backoff(task.crashes) if task.crashes > 1 else None)


def retry_after(error: ProviderError) -> timedelta:
    """Return how long the provider wants to be left alone, within bounds."""
    if error.retry_after_seconds is None:
        return DEFAULT_RETRY_AFTER
    return min(timedelta(seconds=max(error.retry_after_seconds, 0)), LONGEST_RETRY_AFTER)
