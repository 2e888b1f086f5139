"""Calls through the gateway, as tests make them."""

from concurrent.futures import Future
from typing import Any

from providers import gateway
from providers.types import Candidate, Completion, CompletionRequest, Delta, DeltaKind, Message, Usage

SECONDS = 60
FAST = {"latency_ms": 0, "tokens_per_second": 0}
"""What a script is, unless it says otherwise."""


class Call:
    """One call on the process's loop; keeps what was streamed."""

    def __init__(self, provider: str, prompt: str = "Good morning", **values: Any) -> None:
        script = values.pop("simulate", None)
        values.setdefault("messages", (Message("user", prompt),))
        values.setdefault("max_output_tokens", 500)
        values.setdefault("request_id", "0197-alice.1")
        values.setdefault("total_timeout_seconds", 20.0)
        if script is not None:
            values["options"] = {"simulate": FAST | script}
        self.deltas: list[Delta] = []
        model = values.pop("model", "sim-1")
        self.request = CompletionRequest(model=model, **values)
        candidate = Candidate(provider, model)
        self.future: Future[Completion] = gateway.start(candidate, self.request, self.deltas.append)

    def result(self) -> Completion:
        """Return the completion, or raise the call's error."""
        return self.future.result(SECONDS)

    def error(self) -> Any:
        """Return the call's error."""
        return self.future.exception(SECONDS)

    def bill(self) -> Usage:
        """Return what the call used, however it ended."""
        error = self.error()
        found = error.usage if error else self.result().usage
        assert isinstance(found, Usage)
        return found

    def said(self, kind: DeltaKind = DeltaKind.TEXT) -> str:
        """Return what was streamed of a kind."""
        return "".join(delta.data for delta in self.deltas if delta.kind == kind)
