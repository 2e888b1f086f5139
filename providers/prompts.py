"""What a model is asked with: turns, pictures, tools, and the form of its answer. Neutral words, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a turn: its bytes, or an https address from which the provider fetches it. We never fetch it."""

    media_type: str
    """image/png, image/jpeg, image/gif or image/webp."""
    data: str = ""
    """Base64; empty: it is at `url`."""
    url: str = ""


Part = str | Image


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish that a tool be called."""

    id: str
    """Comes back with the result."""
    name: str
    arguments: str
    """JSON as the model wrote it; not checked here."""
    signature: str = ""
    """The provider's own mark on the call; some take the conversation on only if it comes back unchanged."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    """system, user, assistant, or tool: the result of a call."""
    content: str | tuple[Part, ...] = ""
    """A text, or texts and pictures in their order."""
    tool_calls: tuple[ToolCall, ...] = ()
    """What an assistant turn wanted called."""
    tool_call_id: str = ""
    """Of a tool turn: the call whose result it is."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content, part by part; empty texts are left out."""
        whole = (self.content,) if isinstance(self.content, str) else self.content
        return tuple(part for part in whole if part != "")

    @property
    def text(self) -> str:
        """The content's texts."""
        return "".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of its arguments, an object."""


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The answer must be JSON of this schema; one that is not is a MalformedAnswer."""

    schema: Mapping[str, Any]
    """JSON Schema (2020-12)."""
    name: str = "answer"
    strict: bool = False
    """Ask providers that know the difference to enforce it while they write; they then take fewer schemas."""
