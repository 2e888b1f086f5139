"""The task type `embedding.create`: texts in, a vector for each out."""

import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

from ai_tasks.task_types.base import TaskLike, TaskType, Texts

MOST_TEXTS = 2_048
LONGEST_TEXT = 400_000
MOST_DIMENSIONS = 16_384
INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "texts": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT},
            "minItems": 1,
            "maxItems": MOST_TEXTS,
        },
        "dimensions": {"type": "integer", "minimum": 1, "maximum": MOST_DIMENSIONS},
        "simulate": {"type": "object", "description": "Script for the simulator; other providers never see it."},
    },
    "required": ["texts"],
    "additionalProperties": False,
}


def build(task: TaskLike) -> Texts:
    """Return the task's texts."""
    given = task.input
    return Texts(tuple(given["texts"]), given.get("dimensions"), {"simulate": given.get("simulate", {})})


def packed(vector: Sequence[float]) -> str:
    """Return a vector as it is stored and answered: base64 of its numbers as little-endian floats of 32 bits."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def unpacked(text: str) -> list[float]:
    """Return the numbers of a packed vector."""
    data = b64decode(text)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


EMBEDDING_CREATE = TaskType(name="embedding.create", input_schema=INPUT_SCHEMA, build=build)
