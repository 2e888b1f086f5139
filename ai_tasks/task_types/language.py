"""The task types `text.summarize` and `text.translate`."""

from typing import Any

from ai_tasks.task_types import wordings
from ai_tasks.task_types.base import Message, Prompt, TaskLike, TaskType
from ai_tasks.task_types.text import DEFAULT_MAX_OUTPUT_TOKENS, SETTINGS
from ai_tasks.task_types.turns import TEXT_BOUND
from ai_tasks.task_types.wordings import SUMMARIZE, TRANSLATE

TEXT = {"type": "string", "minLength": 1, "maxLength": TEXT_BOUND}
LINE = {"type": "string", "pattern": "^[^\\x00-\\x1f\\x7f]+$", "minLength": 1, "maxLength": 200}
LANGUAGE = {
    "type": "string",
    "pattern": "^[^\\W\\d_][\\w ()'-]{1,59}$",
    "description": "A language by its name or tag: Japanese, 日本語, pt-BR.",
}
ASIDE = {name: SETTINGS[name] for name in ("max_output_tokens", "temperature", "simulate")}
"""What every type of text lets its caller set."""


def schema(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    """Return the schema of an input that has a text, these members, and what every type lets its caller set."""
    return {
        "type": "object",
        "properties": {"text": TEXT, **properties, **ASIDE},
        "required": ["text", *required],
        "additionalProperties": False,
    }


def prompt(task: TaskLike, instruction: str, **more: Any) -> Prompt:
    """Return the prompt of a task whose text is worked on as the instruction says."""
    given = task.input
    return Prompt(
        (Message("system", instruction), Message("user", given["text"])),
        given.get("max_output_tokens", DEFAULT_MAX_OUTPUT_TOKENS),
        temperature=given.get("temperature"),
        options={"simulate": given.get("simulate", {})},
        **more,
    )


def summarize(task: TaskLike) -> Prompt:
    """Return the prompt of a summary."""
    given, wishes = task.input, []
    if "max_sentences" in given:
        wishes.append(f"Sentences, at most: {given['max_sentences']}.")
    if "focus" in given:
        wishes.append(f"What matters most: {given['focus']}")
    wishes.append(f"Language of the summary: {given.get('language', 'that of the text')}.")
    return prompt(task, wordings.wording(SUMMARIZE, task.prompt_version, *wishes))


def translate(task: TaskLike) -> Prompt:
    """Return the prompt of a translation."""
    given = task.input
    wishes = [f"Into: {given['target_language']}."]
    if "source_language" in given:
        wishes.append(f"From: {given['source_language']}.")
    if "tone" in given:
        wishes.append(f"Tone: {given['tone']}.")
    wishes += [f"Always translate {term!r} as {said!r}." for term, said in given.get("glossary", {}).items()]
    return prompt(task, wordings.wording(TRANSLATE, task.prompt_version, *wishes))


TEXT_SUMMARIZE = TaskType(
    name=SUMMARIZE,
    input_schema=schema(
        (), max_sentences={"type": "integer", "minimum": 1, "maximum": 50}, focus=LINE, language=LANGUAGE
    ),
    build=summarize,
    prompt_version=wordings.latest(SUMMARIZE),
)
TEXT_TRANSLATE = TaskType(
    name=TRANSLATE,
    input_schema=schema(
        ("target_language",),
        target_language=LANGUAGE,
        source_language=LANGUAGE,
        tone={"enum": ["formal", "informal"]},
        glossary={"type": "object", "propertyNames": LINE, "additionalProperties": LINE, "maxProperties": 100},
    ),
    build=translate,
    prompt_version=wordings.latest(TRANSLATE),
)
