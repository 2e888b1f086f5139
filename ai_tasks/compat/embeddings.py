"""POST /v1/embeddings: its body as the input of a task, and the task as its answer."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from ai_tasks.compat.bodies import OURS, checked_by, mistake
from ai_tasks.errors import InvalidInput
from ai_tasks.task_types.embedding import unpacked

Json = dict[str, Any]

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "input": {"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "array", "minItems": 1}},
        "encoding_format": {"enum": ["float", "base64"]},
        **dict.fromkeys(("dimensions", "metadata", "simulate", *OURS), True),
    },
    "required": ["model", "input"],
}
IGNORED = frozenset(("user",))
_validator = Draft202012Validator(SCHEMA)


def checked(body: Any) -> Json:
    """Return the body; raises InvalidInput for what is wrong with it or not supported."""
    given = checked_by(_validator, body, IGNORED)
    texts = given["input"]
    if isinstance(texts, list) and any(isinstance(each, int | list) for each in texts):
        detail = "Send texts: tokens mean something to one model's tokenizer alone, and a task may go to another."
        raise InvalidInput(detail, errors=(mistake("/input", "tokens"),))
    return given


def wish_of(given: Mapping[str, Any]) -> Json:
    """Return the task that a checked body asks for, as the body of POST /api/v1/tasks."""
    texts = [given["input"]] if isinstance(given["input"], str) else given["input"]
    wanted = {"texts": texts} | {name: given[name] for name in ("dimensions", "simulate") if name in given}
    task: Json = {"type": "embedding.create", "input": wanted, "model": given["model"]}
    return task | {name: given[name] for name in (*OURS, "metadata") if name in given}


def answer(task: Mapping[str, Any], encoding_format: str) -> Json:
    """Return a completed task as a list of embeddings, with numbers or in base64."""
    vectors: list[Any] = task["output"]["embeddings"]
    if encoding_format == "float":
        vectors = [unpacked(each) for each in vectors]
    used = (task["usage"] or {}).get("input_tokens", 0)
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)],
        "model": f"{task['provider']}/{task['model']}",
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }
