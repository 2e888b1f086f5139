"""The states of a task and the moves between them."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class TaskStatus(models.TextChoices):
    """Where a task is."""

    PENDING = "pending", pgettext_lazy("task", "pending")
    """Waiting for its turn, or handed to a worker that has not begun."""
    PROCESSING = "processing", _("processing")
    """A provider is being called."""
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")
    TIMED_OUT = "timed_out", _("timed out")
    CANCELLED = "cancelled", _("cancelled")


ACTIVE = (TaskStatus.PENDING, TaskStatus.PROCESSING)
TERMINAL = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.TIMED_OUT, TaskStatus.CANCELLED)
REVIVABLE = (TaskStatus.FAILED, TaskStatus.TIMED_OUT)
"""From here only a person's retry or redrive leads back."""

TASK_MOVES: dict[TaskStatus, set[TaskStatus]] = {
    TaskStatus.PENDING: {
        TaskStatus.PROCESSING,
        TaskStatus.FAILED,
        TaskStatus.TIMED_OUT,
        TaskStatus.CANCELLED,
    },
    TaskStatus.PROCESSING: {
        TaskStatus.PENDING,
        TaskStatus.COMPLETED,
        TaskStatus.FAILED,
        TaskStatus.TIMED_OUT,
        TaskStatus.CANCELLED,
    },
    TaskStatus.FAILED: {TaskStatus.PENDING},
    TaskStatus.TIMED_OUT: {TaskStatus.PENDING},
    TaskStatus.COMPLETED: set(),
    TaskStatus.CANCELLED: set(),
}


class ChunkKind(models.TextChoices):
    """What a chunk carries."""

    TEXT = "text", _("text")
    REASONING = "reasoning", _("reasoning")
    TOOL_CALL = "tool_call", _("tool call")
    REFUSAL = "refusal", _("refusal")
    RESET = "reset", _("reset")
    """What came before is void: another attempt begins. Its data is the reason."""
