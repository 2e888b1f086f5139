"""The wire formats, side by side: how each is set up, and what its vendor is recorded to say."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.providers import servers

ANSWER = "おはよう, Alice 🏃‍♀️\n"


@dataclass(frozen=True)
class Format:
    """One format of one adapter."""

    name: str
    adapter: str
    stream: str
    """The recorded stream whose text is ANSWER."""
    whole: str
    options: dict[str, Any] = field(default_factory=dict)
    done: bool = False
    """Does [DONE] end its streams?"""
    error: Any = None
    """What says in the middle of a stream that the vendor is overloaded."""

    def __str__(self) -> str:
        return self.name

    def chunks(self) -> list[Any]:
        """Return the recorded stream."""
        return list(servers.payload(self.stream))

    def events(self, chunks: list[Any] | None = None) -> bytes:
        """Return chunks as server-sent events, with the last word where it is."""
        return servers.events(self.chunks() if chunks is None else chunks, done=self.done)

    def whole_response(self) -> bytes:
        """Return the recorded whole answer as an HTTP response."""
        return servers.response(json.dumps(servers.payload(self.whole)))


OVERLOADED = {"error": {"type": "overloaded_error", "message": "Overloaded"}}

CHAT = Format("chat", "openai", "openai_stream", "openai_whole", done=True, error=OVERLOADED)
RESPONSES = Format(
    "responses",
    "openai",
    "openai_responses_stream",
    "openai_responses_whole",
    {"responses": True},
    error={"type": "error", "code": "server_overloaded", "message": "Overloaded", "param": None},
)
ANTHROPIC = Format(
    "anthropic", "anthropic", "anthropic_stream", "anthropic_whole", error={"type": "error", **OVERLOADED}
)
GEMINI = Format(
    "gemini",
    "gemini",
    "gemini_stream",
    "gemini_whole",
    error={"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}},
)
FORMATS = [CHAT, RESPONSES, ANTHROPIC, GEMINI]
