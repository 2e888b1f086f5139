"""Reading what strangers send: JSON whose every part may be missing, of another type, or huge."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from providers.errors import MalformedAnswer

LARGEST_COUNT = 1_000_000_000


def json_object(text: str) -> dict[str, Any]:
    """Return the object that the text is; raises MalformedAnswer."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedAnswer("The answer is not JSON.") from None
    if not isinstance(found, dict):
        raise MalformedAnswer("The answer is not a JSON object.")
    return found


def objects(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that is a list of objects, empty when it is missing; raises MalformedAnswer."""
    found = holder.get(name) or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise MalformedAnswer(f"The answer's {name} is not a list of objects.")
    return found


def member(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a member that is an object; empty when it is anything else."""
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def text(holder: Mapping[str, Any], name: str) -> str:
    """Return a member that is a text; empty when it is anything else."""
    found = holder.get(name)
    return found if isinstance(found, str) else ""


def count(holder: Mapping[str, Any], name: str) -> int | None:
    """Return a member that is a sensible count; None when it is anything else."""
    found = holder.get(name)
    is_count = isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= LARGEST_COUNT
    return found if is_count else None


def vector(holder: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """Return a member that is a list of numbers; raises MalformedAnswer."""
    found = holder.get(name)
    try:
        numbers = [float(item) for item in found if type(item) in (int, float)] if isinstance(found, list) else []
    except OverflowError:
        numbers = []
    if not numbers or len(numbers) < len(holder[name]) or not all(map(isfinite, numbers)):
        raise MalformedAnswer("A vector of the answer is not a list of numbers.")
    return tuple(numbers)
