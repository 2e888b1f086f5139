"""Task types that turn text into text."""

from typing import Any

from ai_tasks.task_types.base import Prompt, TaskLike, TaskType
from providers.types import Message

DEFAULT_MAX_OUTPUT_TOKENS = 4096
MAX_OUTPUT_TOKENS = 128_000
TEXT_BOUND = 900_000

SETTINGS: dict[str, Any] = {
    "max_output_tokens": {"type": "integer", "minimum": 1, "maximum": MAX_OUTPUT_TOKENS},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "simulate": {"type": "object", "description": "Script for the simulator; other providers never see it."},
}
PROMPT_PROPERTIES = {
    "prompt": {"type": "string", "minLength": 1, "maxLength": TEXT_BOUND},
    "system": {"type": "string", "maxLength": TEXT_BOUND},
    **SETTINGS,
}
MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"enum": ["system", "user", "assistant"]},
        "content": {"type": "string", "minLength": 1, "maxLength": TEXT_BOUND},
    },
    "required": ["role", "content"],
    "additionalProperties": False,
}
MESSAGES_PROPERTIES = {"messages": {"type": "array", "items": MESSAGE, "minItems": 1, "maxItems": 1000}, **SETTINGS}


def _schema() -> dict[str, Any]:
    """Either `prompt` (with `system`) or `messages`; if/then/else, so that mistakes are told for the form meant."""
    return {
        "type": "object",
        "if": {"required": ["messages"]},
        "then": {"properties": MESSAGES_PROPERTIES, "additionalProperties": False},
        "else": {"properties": PROMPT_PROPERTIES, "required": ["prompt"], "additionalProperties": False},
    }


def build(task: TaskLike) -> Prompt:
    """Return the prompt of a text task: its messages, or its system text and prompt."""
    given = task.input
    turns = given.get("messages") or [
        *([{"role": "system", "content": given["system"]}] if given.get("system") else []),
        {"role": "user", "content": given["prompt"]},
    ]
    return Prompt(
        messages=tuple(Message(turn["role"], turn["content"]) for turn in turns),
        max_output_tokens=given.get("max_output_tokens", DEFAULT_MAX_OUTPUT_TOKENS),
        temperature=given.get("temperature"),
        options={"simulate": given.get("simulate", {})},
    )


TEXT_GENERATE = TaskType(name="text.generate", input_schema=_schema(), build=build)
