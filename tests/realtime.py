"""Every frame that a test hears is checked against the schemas of docs/realtime.schema.json."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "docs" / "realtime.schema.json").read_text(encoding="utf-8")
)
TYPES = {
    socket: {each["$ref"].rpartition("/")[2] for each in DOCUMENT["$defs"][socket]["oneOf"]}
    for socket in ("tasks", "chat", "operations")
}
_validators = {
    name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DOCUMENT["$defs"]})
    for names in TYPES.values()
    for name in names
}


def check(socket: str, frame: dict[str, Any]) -> dict[str, Any]:
    """Return the frame when it is one that the socket's documentation describes; fail otherwise."""
    assert frame["type"] in TYPES[socket], f"{frame['type']} is not documented"
    mistakes = [f"{error.json_path}: {error.message}" for error in _validators[frame["type"]].iter_errors(frame)]
    assert not mistakes, f"{frame['type']}: {mistakes}"
    return frame
