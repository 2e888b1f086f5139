"""What the simulator, as a provider, has on its books: one JSON line for each call that began and each that ended."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from providers import tokens
from providers.types import CompletionRequest, Usage


class Ledger:
    """A file of JSON lines, each flushed when it is written; without a path, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = path.open("a", encoding="utf-8", buffering=1) if path else None

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        if self._file:
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()


@dataclass(slots=True)
class Entry:
    """One call on the books; a client that leaves is billed the input and what it was sent."""

    ledger: Ledger
    request: CompletionRequest
    outcome: str = "disconnected"
    usage: Usage | None = None
    sent: list[str] = field(default_factory=list)
    call_id: str = field(default_factory=lambda: uuid4().hex)
    started_at: float = field(default_factory=time.time)
    started_monotonic: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Write that the call began."""
        self.ledger.write({"event": "began", **self._common()})

    def said(self, piece: str) -> None:
        """Note that this piece of the answer was sent."""
        self.sent.append(piece)

    def settle(self, outcome: str, usage: Usage) -> None:
        """Note how the call ends and what it is billed."""
        self.outcome, self.usage = outcome, usage

    def end(self) -> None:
        """Write how the call ended and what it is billed."""
        usage = self.usage or self._counted()
        self.ledger.write(
            {
                "event": "ended",
                **self._common(),
                "ended_at": time.time(),
                "ended_monotonic": time.monotonic(),
                "input_tokens": usage.total_input,
                "output_tokens": usage.total_output,
                "outcome": self.outcome,
            }
        )

    def _counted(self) -> Usage:
        asked, said = self.request, "".join(self.sent)
        return tokens.count_usage(asked.messages, said, tools=asked.tools, answer_format=asked.answer_format)

    def _common(self) -> dict[str, Any]:
        return {
            "call_id": self.call_id,
            "request_id": self.request.request_id,
            "model": self.request.model,
            "stream": self.request.stream,
            "started_at": self.started_at,
            "started_monotonic": self.started_monotonic,
        }
