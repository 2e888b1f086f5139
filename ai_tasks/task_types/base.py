"""The declaration of a task type."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from ai_tasks.errors import Mistake
from providers.types import AnswerFormat, Image, Message, Part, Tool
from queueing.states import Lane, Priority

__all__ = ["Image", "Message", "Part", "Priority", "Prompt", "TaskLike", "TaskType"]


class TaskLike(Protocol):
    """What a prompt builder may read of a task."""

    id: UUID
    owner_id: int
    input: Any
    requested_model: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is sent."""

    messages: tuple[Message, ...]
    max_output_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = ""
    answer_format: AnswerFormat | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskType:
    """One kind of work: its input, its prompt, its defaults, its policy."""

    name: str
    input_schema: Mapping[str, Any]
    """JSON Schema (2020-12) of `input`."""
    build: Callable[[TaskLike], Prompt]
    """Makes the prompt. Called at submission to estimate tokens, and again when it runs."""
    mistakes: Callable[[Any], Iterable[Mistake]] = lambda given: ()
    """Says what is wrong with an input that fits the schema, where no schema can say it."""
    is_public: bool = True
    """May it be created by REST?"""
    lane: Lane = Lane.DEFAULT
    priority: Priority = Priority.NORMAL
    deadline: timedelta = timedelta(hours=24)
    """Counted from max(created_at, run_at)."""
    max_tries: int = 4
    """Attempts in which a provider worked on it and failed, before it is a dead letter."""
    max_infrastructure_tries: int = 50
    """Attempts that a provider turned away; the deadline is the real bound."""
    on_finished: Callable[[UUID], None] | None = None
    """Called with the task's id after it ended, at least once, outside the settling transaction."""
