"""The task types that read something out of a text: `text.classify` and `json.extract`."""

import json
from collections.abc import Iterator
from math import isfinite
from typing import Any

from ai_tasks.errors import Mistake
from ai_tasks.task_types import wordings
from ai_tasks.task_types.base import Prompt, TaskLike, TaskType
from ai_tasks.task_types.language import LINE, prompt, schema
from ai_tasks.task_types.wordings import CLASSIFY, EXTRACT
from providers import gateway
from providers.types import AnswerFormat, storable

DEEPEST = 60
"""Levels of JSON that are taken apart; databases and clients have bounds of their own."""


def classify(task: TaskLike) -> Prompt:
    """Return the prompt of a choice."""
    given = task.input
    wishes = ["The labels:"]
    for label in given["labels"]:
        meaning = given.get("descriptions", {}).get(label)
        wishes.append(f"- {label}: {meaning}" if meaning else f"- {label}")
    one_of = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": given["labels"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    wanted = AnswerFormat(one_of, "choice", strict=True)
    return prompt(task, wordings.wording(CLASSIFY, task.prompt_version, *wishes), answer_format=wanted)


def undescribed(given: Any) -> Iterator[Mistake]:
    """Yield the descriptions that describe no label."""
    for name in sorted(set(given.get("descriptions", {})) - set(given["labels"])):
        yield Mistake(f"/input/descriptions/{name.replace('~', '~0').replace('/', '~1')}", "There is no such label.")


def label_of(answer: str) -> dict[str, Any]:
    """Return the label that was chosen."""
    found = read(answer)
    if not isinstance(found, dict) or not isinstance(found.get("label"), str):
        raise ValueError("It names no label.")
    return {"label": found["label"]}


def extract(task: TaskLike) -> Prompt:
    """Return the prompt of an extraction."""
    given = task.input
    wishes = [f"What the caller says: {given['instructions']}"] if "instructions" in given else []
    wanted = AnswerFormat(given["schema"], "extract", strict=given.get("strict", False))
    return prompt(task, wordings.wording(EXTRACT, task.prompt_version, *wishes), answer_format=wanted)


def unusable(given: Any) -> Iterator[Mistake]:
    """Yield what is wrong with the schema."""
    if complaint := gateway.schema_complaint(given["schema"]):
        yield Mistake("/input/schema", complaint)


def data_of(answer: str) -> dict[str, Any]:
    """Return what was found."""
    return {"data": read(answer)}


def read(answer: str) -> Any:
    """Return the JSON of an answer, fit to be stored; raises ValueError."""
    try:
        return _fit(json.loads(answer), DEEPEST)
    except RecursionError as error:
        raise ValueError("It cannot be read.") from error


def _fit(value: Any, levels: int) -> Any:
    """Return the value without what PostgreSQL does not store; raises ValueError where JSON does not know it."""
    if levels == 0:
        raise ValueError(f"It has more than {DEEPEST} levels.")
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("It has a number that is none.")
    if isinstance(value, list):
        return [_fit(each, levels - 1) for each in value]
    if isinstance(value, dict):
        return {storable(name): _fit(each, levels - 1) for name, each in value.items()}
    return value


TEXT_CLASSIFY = TaskType(
    name=CLASSIFY,
    input_schema=schema(
        ("labels",),
        labels={"type": "array", "items": LINE, "minItems": 2, "maxItems": 100, "uniqueItems": True},
        descriptions={
            "type": "object",
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 1_000},
            "maxProperties": 100,
        },
    ),
    build=classify,
    mistakes=undescribed,
    read=label_of,
    prompt_version=wordings.latest(CLASSIFY),
)
JSON_EXTRACT = TaskType(
    name=EXTRACT,
    input_schema=schema(
        ("schema",),
        schema={
            "type": "object",
            "description": "JSON Schema (2020-12) of what is wanted, an object.",
            "properties": {"type": {"const": "object"}},
            "required": ["type"],
        },
        instructions={"type": "string", "minLength": 1, "maxLength": 20_000},
        strict={"type": "boolean", "description": "Have the provider enforce it, where it knows the difference."},
    ),
    build=extract,
    mistakes=unusable,
    read=data_of,
    prompt_version=wordings.latest(EXTRACT),
)
