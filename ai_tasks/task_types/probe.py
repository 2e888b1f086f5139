"""The smallest question there is: does the provider answer?"""

from datetime import timedelta

from ai_tasks.task_types.base import Priority, Prompt, TaskLike, TaskType
from providers.types import Message

MOST_OUTPUT_TOKENS = 64
"""Enough for models that think before they answer one word."""


def build(task: TaskLike) -> Prompt:
    """Return the prompt."""
    return Prompt((Message("user", "Answer with the one word OK."),), MOST_OUTPUT_TOKENS)


PROVIDER_PROBE = TaskType(
    name="provider.probe",
    input_schema={"type": "object", "additionalProperties": False},
    build=build,
    is_public=False,
    priority=Priority.URGENT,
    deadline=timedelta(minutes=2),
    max_tries=1,
    max_infrastructure_tries=1,
)
"""An operator's question to one model, first in turn, asked once."""
