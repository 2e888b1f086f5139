"""The declaration of a task type."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from ai_tasks.errors import Mistake
from providers import gateway
from providers.types import AnswerFormat, Image, Message, Part, Tool, Usage
from queueing.states import Lane, Priority

__all__ = ["Image", "Message", "Part", "Priority", "Prompt", "TaskLike", "TaskType", "Texts"]


class TaskLike(Protocol):
    """What a prompt builder may read of a task."""

    id: UUID
    owner_id: int
    input: Any
    requested_model: str
    prompt_version: int


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

    def input_tokens(self) -> int:
        """Return how many tokens it is, rather too many than too few."""
        return gateway.estimate_input_tokens(self.messages, tools=self.tools, answer_format=self.answer_format)

    def used(self, said: str) -> Usage:
        """Return what a call used that ended without a word about it, after it had said this."""
        return gateway.count_usage(self.messages, said, tools=self.tools, answer_format=self.answer_format)


@dataclass(frozen=True, slots=True)
class Texts:
    """What a model that makes vectors is sent, in place of a prompt; it has no output tokens."""

    texts: tuple[str, ...]
    dimensions: int | None = None
    """How long the vectors are to be; None: as the model likes."""
    options: Mapping[str, Any] = field(default_factory=dict)
    max_output_tokens: int = 0

    def input_tokens(self) -> int:
        """Return how many tokens they are, rather too many than too few."""
        return gateway.count_texts(self.texts).total

    def used(self, said: str) -> Usage:
        """Return what a call used that ended without a word about it."""
        return gateway.count_texts(self.texts)


@dataclass(frozen=True, slots=True)
class TaskType:
    """One kind of work: its input, its prompt, its defaults, its policy."""

    name: str
    input_schema: Mapping[str, Any]
    """JSON Schema (2020-12) of `input`."""
    build: Callable[[TaskLike], Prompt | Texts]
    """Makes the prompt, or the texts. Called at submission to estimate tokens, and again when it runs."""
    mistakes: Callable[[Any], Iterable[Mistake]] = lambda given: ()
    """Says what is wrong with an input that fits the schema, where no schema can say it."""
    read: Callable[[str], Mapping[str, Any]] | None = None
    """Makes further members of `output` from the answer's text; raises ValueError where it is not what it must be."""
    prompt_version: int = 1
    """Of what `build` says now; a task keeps the one it was submitted with, and is built with it again."""
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
