"""Tool calls as they stream: fragments of JSON on their way, whole calls at the end."""

import json
from collections.abc import Iterable
from typing import Any

from providers.errors import BadRequest, MalformedAnswer
from providers.types import Delta, DeltaKind, ToolCall, storable

MOST_CALLS = 128


def delta(index: int, *, id: str = "", name: str = "", arguments: str = "", signature: str = "") -> Delta:
    """Return a fragment of the call with that index; what is empty is left out, but for the arguments."""
    said: dict[str, Any] = {"index": index, "id": id, "name": name, "arguments": arguments, "signature": signature}
    kept = {key: value for key, value in said.items() if value != "" or key == "arguments"}
    return Delta(DeltaKind.TOOL_CALL, json.dumps(kept, ensure_ascii=False, separators=(",", ":")))


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """Return a call's arguments as the object that formats want which keep no text; raises BadRequest."""
    try:
        found = json.loads(storable(call.arguments) or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest(f"The arguments of the tool call {call.id[:80]!r} are not a JSON object.")
    return found


def fragment(piece: Delta) -> dict[str, Any]:
    """Return what a fragment says: index and arguments, and where it has them id, name and signature."""
    said: dict[str, Any] = json.loads(piece.data)
    return said


class ToolCalls:
    """The calls of one answer, put together from their fragments."""

    def __init__(self) -> None:
        self._parts: dict[int, dict[str, str]] = {}
        self._arguments: dict[int, list[str]] = {}

    @classmethod
    def of(cls, pieces: Iterable[Delta]) -> "ToolCalls":
        """Return the calls that these fragments, among other pieces, make."""
        calls = cls()
        for piece in pieces:
            if piece.kind == DeltaKind.TOOL_CALL:
                calls.add(piece)
        return calls

    def add(self, piece: Delta) -> None:
        """Take one fragment; raises MalformedAnswer when there are more calls than any answer should have."""
        said = fragment(piece)
        index = said.pop("index")
        self._arguments.setdefault(index, []).append(said.pop("arguments"))
        # The last word on the rest counts: some servers repeat id and name with every fragment.
        self._parts.setdefault(index, {}).update(said)
        if len(self._parts) > MOST_CALLS:
            raise MalformedAnswer("The answer wants more tools called than any should.")

    @property
    def text(self) -> str:
        """What the model wrote of them."""
        names = [call.get("name", "") for call in self._parts.values()]
        return "".join([*names, *(piece for pieces in self._arguments.values() for piece in pieces)])

    def whole(self) -> tuple[ToolCall, ...]:
        """Return the calls in their order; raises MalformedAnswer when one has no name."""
        if not all(call.get("name") for call in self._parts.values()):
            raise MalformedAnswer("The answer wants a tool called, but does not say which.")
        return tuple(
            ToolCall(
                call.get("id") or f"call_{place}",
                call["name"],
                "".join(self._arguments[index]) or "{}",
                call.get("signature", ""),
            )
            for place, (index, call) in enumerate(sorted(self._parts.items()))
        )
