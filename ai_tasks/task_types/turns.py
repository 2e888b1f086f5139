"""Turns of a conversation as a task's input has them: their schema, and what they mean."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ai_tasks.errors import Mistake
from providers.types import Image, Message, Part, ToolCall

TEXT_BOUND = 900_000
BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")

TEXT_PART = {
    "properties": {"type": {"const": "text"}, "text": {"type": "string", "minLength": 1, "maxLength": TEXT_BOUND}},
    "required": ["text"],
    "additionalProperties": False,
}
IMAGE_PART = {
    "properties": {
        "type": {"const": "image"},
        "media_type": {"enum": ["image/png", "image/jpeg", "image/gif", "image/webp"]},
        "data": {"type": "string", "minLength": 4, "description": "The picture in base64; goes with media_type."},
        "url": {"type": "string", "pattern": "^https://[^\\s]+$", "maxLength": 2000},
    },
    "oneOf": [{"required": ["data", "media_type"]}, {"required": ["url"]}],
    "additionalProperties": False,
}
PART = {
    "type": "object",
    "properties": {"type": {"enum": ["text", "image"]}},
    "required": ["type"],
    "if": {"properties": {"type": {"const": "text"}}},
    "then": TEXT_PART,
    "else": IMAGE_PART,
}
CALL = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 200},
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "arguments": {"type": "string", "maxLength": TEXT_BOUND, "description": "JSON, as the model wrote it."},
        "signature": {"type": "string", "maxLength": TEXT_BOUND, "description": "As it came with the call."},
    },
    "required": ["id", "name", "arguments"],
    "additionalProperties": False,
}
TEXT = {"type": "string", "maxLength": TEXT_BOUND}
PARTS = {"type": "array", "items": PART, "minItems": 1, "maxItems": 1000}
MESSAGE = {
    "type": "object",
    "properties": {
        "role": {"enum": ["system", "user", "assistant", "tool"]},
        "content": {"if": {"type": "array"}, "then": PARTS, "else": TEXT},
        "tool_calls": {"type": "array", "items": CALL, "minItems": 1, "maxItems": 128},
        "tool_call_id": {"type": "string", "minLength": 1, "maxLength": 200},
    },
    "required": ["role"],
    "additionalProperties": False,
}
SCHEMA = {"type": "array", "items": MESSAGE, "minItems": 1, "maxItems": 1000}


def message(turn: Any) -> Message:
    """Return what a turn means."""
    content = turn.get("content", "")
    return Message(
        turn["role"],
        content if isinstance(content, str) else tuple(_part(part) for part in content),
        tuple(ToolCall(**call) for call in turn.get("tool_calls", ())),
        turn.get("tool_call_id", ""),
    )


def _part(part: Any) -> Part:
    if part["type"] == "text":
        return str(part["text"])
    return Image(part.get("media_type", ""), part.get("data", ""), part.get("url", ""))


def mistakes(turns: Sequence[Any]) -> Iterator[Mistake]:
    """Yield what is wrong with turns that fit the schema: calls and results apart, pictures that are none."""
    called: set[str] = set()
    for place, turn in enumerate(turns):
        wrong = _misplaced(turn, called)
        if wrong:
            yield Mistake(f"/input/messages/{place}", wrong)
        called |= {call["id"] for call in turn.get("tool_calls", ())}
        yield from _bad_pictures(turn, f"/input/messages/{place}/content")


def _misplaced(turn: Any, called: set[str]) -> str:
    role = turn["role"]
    if "tool_calls" in turn and role != "assistant":
        return "Only assistant turns have tool_calls."
    if ("tool_call_id" in turn) != (role == "tool"):
        return "Turns of role tool, and no others, have a tool_call_id."
    if role == "tool" and turn["tool_call_id"] not in called:
        return "No turn before it has that tool call."
    if not turn.get("content") and "tool_calls" not in turn:
        return "It has neither content nor tool_calls."
    if role != "user" and any(part["type"] == "image" for part in turn.get("content", ()) if isinstance(part, dict)):
        return "Only user turns have pictures."
    return ""


def _bad_pictures(turn: Any, pointer: str) -> Iterator[Mistake]:
    content = turn.get("content", ())
    for place, part in enumerate(content if isinstance(content, list) else ()):
        data = part.get("data", "")
        if data and (len(data) % 4 or not BASE64.fullmatch(data)):
            yield Mistake(f"{pointer}/{place}/data", "It is not base64.")
