"""What the bodies of /v1 have in common."""

from collections.abc import Collection, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from ai_tasks.compat.errors import unsupported
from ai_tasks.errors import InvalidInput, Mistake

Json = dict[str, Any]

OURS = ("priority", "max_cost_usd", "related", "deadline_seconds")
"""Members that OpenAI's API does not have and tasks do."""


def mistake(pointer: str, detail: str) -> Mistake:
    """Return a mistake of a body: errors leave out the first `input`, a task's, so that the body's own is doubled."""
    return Mistake(f"/input{pointer}" if pointer.startswith("/input") else pointer, detail)


def checked_by(
    validator: Draft202012Validator, body: Any, ignored: Collection[str], harmless: Mapping[str, Any] | None = None
) -> Json:
    """
    Return the body without nulls, what is ignored, and what asks for nothing because it has its harmless value.

    Raises InvalidInput for members that are unknown and for the first mistake.
    """
    if not isinstance(body, Mapping):
        raise InvalidInput("The body must be a JSON object.", errors=(Mistake("", "not an object"),))
    nothing = harmless or {}
    given = {name: value for name, value in body.items() if value is not None and name not in ignored}
    given = {name: value for name, value in given.items() if name not in nothing or value != nothing[name]}
    if unknown := sorted(set(given) - set(validator.schema["properties"])):
        raise unsupported(unknown[0][:100])
    if wrong := min(validator.iter_errors(given), key=lambda error: list(map(str, error.absolute_path)), default=None):
        pointer = "".join(f"/{place}" for place in wrong.absolute_path)
        raise InvalidInput("The request is not valid.", errors=(mistake(pointer, wrong.message[:300]),))
    return given
