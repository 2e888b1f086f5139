"""
Schemas as Anthropic's structured output takes them; https://docs.claude.com/en/docs/build-with-claude/structured-outputs.

Objects must be closed, and constraints that it does not know are refused. What is left out here is still checked by
us when the answer has come.
"""

from collections.abc import Mapping
from typing import Any

KEPT = ("type", "description", "title", "enum", "const", "format", "required", "$ref", "default")
RENAMED = {"oneOf": "anyOf"}


def closed(schema: Any) -> Any:
    """Return the schema with every object closed and unknown constraints left out."""
    if not isinstance(schema, Mapping):
        return schema
    found = {name: schema[name] for name in KEPT if name in schema}
    for name in ("properties", "$defs", "definitions"):
        if isinstance(inner := schema.get(name), Mapping):
            found[name] = {key: closed(value) for key, value in inner.items()}
    for name in ("anyOf", "allOf", "oneOf"):
        if isinstance(inner := schema.get(name), list):
            found[RENAMED.get(name, name)] = [closed(value) for value in inner]
    if "items" in schema:
        found["items"] = closed(schema["items"])
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    return found
