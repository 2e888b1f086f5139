"""Task types that turn text, and pictures, into text."""

from collections.abc import Iterator
from typing import Any

from ai_tasks.errors import Mistake
from ai_tasks.task_types import turns
from ai_tasks.task_types.base import Prompt, TaskLike, TaskType
from providers import gateway
from providers.types import AnswerFormat, Message, Tool

DEFAULT_MAX_OUTPUT_TOKENS = 4096
MAX_OUTPUT_TOKENS = 128_000
TOOL_WORDS = ("auto", "none", "required")

NAME = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]{0,63}$"}
TOOL = {
    "type": "object",
    "properties": {
        "name": NAME | {"not": {"enum": [*TOOL_WORDS]}},
        "description": {"type": "string", "maxLength": 10_000},
        "parameters": {"type": "object", "description": "JSON Schema of its arguments."},
    },
    "required": ["name"],
    "additionalProperties": False,
}
ANSWER_FORMAT = {
    "type": "object",
    "description": "The answer must be JSON of this schema; one that is not counts as a failed attempt.",
    "properties": {
        "schema": {"type": "object", "description": "JSON Schema (2020-12)."},
        "name": NAME,
        "strict": {"type": "boolean", "description": "Have the provider enforce it, where it knows the difference."},
    },
    "required": ["schema"],
    "additionalProperties": False,
}
SETTINGS: dict[str, Any] = {
    "max_output_tokens": {"type": "integer", "minimum": 1, "maximum": MAX_OUTPUT_TOKENS},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "stop": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200}, "maxItems": 4},
    "tools": {"type": "array", "items": TOOL, "maxItems": 128},
    "tool_choice": {"type": "string", "description": "auto, none, required, or the name of one of the tools."},
    "answer_format": ANSWER_FORMAT,
    "simulate": {"type": "object", "description": "Script for the simulator; other providers never see it."},
}
PROMPT_PROPERTIES = {
    "prompt": {"type": "string", "minLength": 1, "maxLength": turns.TEXT_BOUND},
    "system": {"type": "string", "maxLength": turns.TEXT_BOUND},
    **SETTINGS,
}
MESSAGES_PROPERTIES = {"messages": turns.SCHEMA, **SETTINGS}


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
    return Prompt(
        messages=_messages(given),
        max_output_tokens=given.get("max_output_tokens", DEFAULT_MAX_OUTPUT_TOKENS),
        temperature=given.get("temperature"),
        top_p=given.get("top_p"),
        stop=tuple(given.get("stop", ())),
        tools=tuple(
            Tool(tool["name"], tool.get("description", ""), tool.get("parameters", {"type": "object"}))
            for tool in given.get("tools", ())
        ),
        tool_choice=given.get("tool_choice", ""),
        answer_format=AnswerFormat(**given["answer_format"]) if "answer_format" in given else None,
        options={"simulate": given.get("simulate", {})},
    )


def _messages(given: Any) -> tuple[Message, ...]:
    if "messages" in given:
        return tuple(turns.message(turn) for turn in given["messages"])
    system = [Message("system", given["system"])] if given.get("system") else []
    return (*system, Message("user", given["prompt"]))


def mistakes(given: Any) -> Iterator[Mistake]:
    """Yield what is wrong where no schema can say it: tools that are not there, schemas that are none."""
    names = [tool["name"] for tool in given.get("tools", ())]
    if len(set(names)) < len(names):
        yield Mistake("/input/tools", "Two tools have the same name.")
    if "tool_choice" in given and given["tool_choice"] not in (*TOOL_WORDS, *names):
        yield Mistake("/input/tool_choice", "Neither auto, none or required, nor the name of one of the tools.")
    for place, tool in enumerate(given.get("tools", ())):
        if complaint := gateway.schema_complaint(tool.get("parameters", {})):
            yield Mistake(f"/input/tools/{place}/parameters", complaint)
    if complaint := gateway.schema_complaint(given.get("answer_format", {}).get("schema", {})):
        yield Mistake("/input/answer_format/schema", complaint)
    yield from turns.mistakes(given.get("messages", ()))


TEXT_GENERATE = TaskType(name="text.generate", input_schema=_schema(), build=build, mistakes=mistakes)
