"""What the simulator's server needs of a vendor's format; each format is one subclass."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, ClassVar, TypeVar

from providers.adapters import reading
from providers.errors import BadRequest, ProviderError
from providers.tool_calls import ToolCalls
from providers.types import CompletionRequest, Delta, DeltaKind, Finish, Image, Part, ToolCall, Usage

DEFAULT_MAX_OUTPUT_TOKENS = 4096

Value = TypeVar("Value")
Refusal = tuple[int, dict[str, Any], dict[str, str]]
"""Status, body and headers."""


class Wire(ABC):
    """One call in one format."""

    BROKEN: ClassVar[bytes] = b'{"id": "'
    """The beginning of an answer, which is not JSON."""
    REQUEST_ID_HEADER: ClassVar[str] = "x-request-id"

    def __init__(self, request: CompletionRequest, call_id: str, body: Mapping[str, Any]) -> None:
        self.request, self.call_id, self.body = request, call_id, body
        self.calls = ToolCalls()

    @classmethod
    @abstractmethod
    def request_from(cls, body: Mapping[str, Any], model: str, request_id: str) -> CompletionRequest:
        """Return the request that a body stands for; raises BadRequest with what is wrong. `model` is the path's."""

    @classmethod
    @abstractmethod
    def refusal(cls, error: ProviderError) -> Refusal:
        """Return how the format turns a call away."""

    @abstractmethod
    def opening(self, input_usage: Usage) -> bytes:
        """Return what a stream begins with."""

    @abstractmethod
    def piece(self, delta: Delta) -> bytes:
        """Return a piece of a stream."""

    @abstractmethod
    def ending(self, finish: Finish, usage: Usage | None) -> bytes:
        """Return the end of a stream; without usage, it does not tell."""

    @abstractmethod
    def whole(self, deltas: Sequence[Delta], finish: Finish, usage: Usage | None) -> dict[str, Any]:
        """Return an answer that is not a stream."""

    def failed(self, error: ProviderError) -> bytes:
        """Return how a stream tells of a failure."""
        return event(self.refusal(error)[1])

    def broken(self) -> bytes:
        """Return a piece of a stream that is not JSON."""
        return b"data: " + self.BROKEN + b"\n\n"

    def headers(self) -> dict[str, str]:
        """Return the headers of an answer."""
        return {self.REQUEST_ID_HEADER: f"sim-{self.call_id}"}


def event(payload: Mapping[str, Any], name: str = "") -> bytes:
    """Return a server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def retry_headers(error: ProviderError) -> dict[str, str]:
    """Return the headers that say how long to wait."""
    if (seconds := error.retry_after_seconds) is None:
        return {}
    return {"Retry-After": str(ceil(seconds)), "retry-after-ms": str(round(seconds * 1000))}


def text_of(deltas: Sequence[Delta], kind: DeltaKind) -> str:
    """Return what was said of a kind."""
    return "".join(delta.data for delta in deltas if delta.kind == kind)


def calls_of(deltas: Sequence[Delta]) -> tuple[ToolCall, ...]:
    """Return the tool calls that were made."""
    return ToolCalls.of(deltas).whole()


def required(body: Mapping[str, Any], name: str, kind: type[Value]) -> Value:
    """Return a member that must be there and not empty; raises BadRequest."""
    found = body.get(name)
    if not isinstance(found, kind) or not found:
        raise BadRequest(f"{name}: Field required.")
    return found


def dicts(holder: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a member that may be missing, else is a list of objects; raises BadRequest."""
    found = holder.get(name) or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise BadRequest(f"{name} must be a list of objects.")
    return found


def flag(body: Mapping[str, Any], name: str) -> bool:
    """Return a member that is true, false or missing; raises BadRequest."""
    found = body.get(name) or False
    if not isinstance(found, bool):
        raise BadRequest(f"{name} must be true or false.")
    return found


def cap(found: Any, name: str) -> int:
    """Return an output cap; raises BadRequest."""
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise BadRequest(f"{name} must be a whole number of at least 1.")
    return found


def image_from(url: str) -> Image:
    """Return the picture that an address or a data URL stands for."""
    if not url.startswith("data:"):
        return Image("", url=url)
    head, _, data = url.removeprefix("data:").partition(",")
    return Image(head.partition(";")[0], data)


def content_from(parts: Sequence[Part]) -> str | tuple[Part, ...]:
    """Return a turn's content: a text where there is nothing else."""
    return tuple(parts) if any(isinstance(part, Image) for part in parts) else "".join(map(str, parts))


def arguments(holder: Mapping[str, Any], name: str) -> str:
    """Return a call's arguments, which the format keeps as an object, as JSON."""
    return json.dumps(reading.member(holder, name), ensure_ascii=False)
