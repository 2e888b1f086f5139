"""
What callers can do wrong, or must wait for; the API turns each into a problem document.

TaskError
├── InvalidInput       the input does not fit its schema; `errors` lists pointers
├── UnknownTaskType
├── UnknownModel       no route and no configured provider of that name
├── QueueFull          too much waits already; `retry_after_seconds`
├── BudgetExceeded     the month's money is spent or held
└── NotPossible        the task's state does not allow it
"""

from dataclasses import dataclass


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
        self, detail: str, *, errors: tuple[Mistake, ...] = (), retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(detail)
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


class QueueFull(TaskError):
    """Too much is waiting already."""

    code = "queue_full"
    retryable = True


class BudgetExceeded(TaskError):
    """The budget's month is used up."""

    code = "budget_exceeded"


class NotPossible(TaskError):
    """The task's state does not allow this."""

    code = "not_possible"
