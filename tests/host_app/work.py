"""The host's own kind of work: its input, its prompt, and what is done when it has ended."""

from typing import Any
from uuid import UUID

from ai_tasks.models import AIGenerationTask
from ai_tasks.task_types.base import Message, Prompt, TaskLike, TaskType
from tests.host_app.models import Summary


def build(task: TaskLike) -> Prompt:
    """Return what the model is sent."""
    given = task.input
    wish = f"Summarise the text in at most {given.get('sentences', 3)} sentences."
    messages = (Message("system", wish), Message("user", given["text"]))
    return Prompt(messages, max_output_tokens=500, options={"simulate": given.get("simulate", {})})


def on_finished(task_id: UUID) -> None:
    """Take over what came of it. May be called more than once: only what still waits is moved."""
    task: Any = AIGenerationTask.objects.get(pk=task_id)
    waiting = Summary.objects.filter(task_id=task_id, state=Summary.State.WAITING)
    if task.status == "completed":
        waiting.update(state=Summary.State.READY, summary=task.output["text"])
    else:
        waiting.update(state=Summary.State.FAILED)


SUMMARY = TaskType(
    name="host.summary",
    input_schema={
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1, "maxLength": 100_000},
            "sentences": {"type": "integer", "minimum": 1, "maximum": 10},
            "simulate": {"type": "object"},
        },
        "required": ["text"],
        "additionalProperties": False,
    },
    build=build,
    is_public=False,
    on_finished=on_finished,
)
