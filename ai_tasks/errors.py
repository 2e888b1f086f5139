"""
What callers can do wrong, or must wait for; the API turns each into a problem document.

TaskError
├── InvalidInput       the input does not fit its schema; `errors` lists pointers
├── UnknownTaskType
├── UnknownModel       no route and no configured provider of that name
├── UnpricedModel      its price is not known, and must be
├── ContextWindowTooSmall
├── NoCandidate        no place of the route can take it
├── QueueFull          too much waits already; `retry_after_seconds`
├── BudgetExceeded     the month's or day's money is spent or held
└── NotPossible        the task's state does not allow it
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, InternalError, OperationalError

DATABASE_AWAY = (OperationalError, InterfaceError, InternalError)
"""The database is not there now, or not for us: try again. The last says that it ended a suspended transaction."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with an input: where (a JSON pointer) and what."""

    pointer: str
    detail: str


class TaskError(Exception):
    """The wish cannot be granted."""

    code = "task_error"
    retryable = False

    def __init__(
        self,
        detail: str,
        *,
        errors: tuple[Mistake, ...] = (),
        retry_after_seconds: int | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.members = dict(members or {})
        """Further members of its problem document, for machines."""
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds


class InvalidInput(TaskError):
    """The input is not what its schema asks for."""

    code = "invalid_input"


class UnknownTaskType(TaskError):
    """No such task type, or not one that may be created this way."""

    code = "unknown_task_type"


class UnknownModel(TaskError):
    """No such route, and no configured provider of that name."""

    code = "unknown_model"


class UnpricedModel(TaskError):
    """The model's price is not known, and this call must have one."""

    code = "unpriced_model"


class ContextWindowTooSmall(TaskError):
    """The input and its answer are more than any of the models takes."""

    code = "context_window_exceeded"


class NoCandidate(TaskError):
    """Every place of the route was left out, for its window or its price."""

    code = "no_candidate"


class QueueFull(TaskError):
    """Too much is waiting already."""

    code = "queue_full"
    retryable = True
    fits = 0
    """How many of those that were submitted together there would have been room for."""


class BudgetExceeded(TaskError):
    """The budget's month or day is used up; `members` say which, its limit, its use and when it begins anew."""

    code = "budget_exceeded"


class NotPossible(TaskError):
    """The task's state does not allow this."""

    code = "not_possible"
