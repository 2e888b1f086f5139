"""What crosses the wall, in our own words. Frozen; no vendor type among them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

LONE_SURROGATES = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return the text with NUL and lone surrogates replaced: PostgreSQL stores neither."""
    return LONE_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


class DeltaKind(StrEnum):
    """What a piece of streamed output is."""

    TEXT = "text"
    REASONING = "reasoning"
    TOOL_CALL = "tool_call"
    REFUSAL = "refusal"


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    """It had said all."""
    LENGTH = "length"
    """It ran into its output cap; the output is truncated."""
    TOOL_CALLS = "tool_calls"
    """It wants a tool to be called."""
    REFUSAL = "refusal"
    """It, or a filter of its provider, refused."""


class UsageSource(StrEnum):
    """Where token counts come from."""

    PROVIDER = "provider"
    """The provider said so."""
    COUNTED = "counted"
    """Counted by us from what it sent."""
    ESTIMATED = "estimated"
    """Estimated from the size of texts."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One (provider, model) of a route."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One call: who is asked, what, and how much it may answer."""

    model: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    """Always sent to the provider, so that the money held for the call is a bound."""
    temperature: float | None = None
    stream: bool = True
    request_id: str = ""
    """Ours, `<task id>.<epoch>`; sent along so that both sides' logs meet."""
    total_timeout_seconds: float = 600.0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Extra settings that only some adapters read (the simulator's script)."""


BUCKETS = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
"""The disjoint kinds of tokens: Usage has `<bucket>_tokens` of each, and a price `<bucket>_usd`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in disjoint buckets; `total` is their sum."""

    input_tokens: int = 0
    """Uncached input."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """Kept for minutes, or for as long as the provider likes."""
    output_tokens: int = 0
    """Visible output."""
    reasoning_tokens: int = 0
    source: UsageSource = UsageSource.PROVIDER
    cache_write_1h_tokens: int = 0
    """Written to be kept for an hour, where that has a price of its own."""

    @property
    def total(self) -> int:
        """Everything, in and out."""
        return self.total_input + self.total_output

    @property
    def total_input(self) -> int:
        """Uncached, cached and cache-writing input."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens

    @property
    def total_output(self) -> int:
        """Visible and reasoning output."""
        return self.output_tokens + self.reasoning_tokens


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of output while it streams."""

    kind: DeltaKind
    data: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The last thing an adapter yields: why it ended, and what it used (None: the provider did not say)."""

    reason: FinishReason
    usage: Usage | None
    provider_request_id: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished call."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    provider_request_id: str = ""

    @property
    def truncated(self) -> bool:
        """Was it cut by the output cap?"""
        return self.finish_reason == FinishReason.LENGTH


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A provider as the environment names it; its key is read at use, never stored."""

    slug: str
    adapter: str
    base_url: str = ""
    key_variable: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a provider or of one of its models; None is unlimited."""

    max_concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class Unpriced(StrEnum):
    """What becomes of a call whose price is not known."""

    WITHOUT_BUDGET = "without_budget"
    """It is made, and marked as unpriced, where no budget bounds it; else it is refused."""
    ALLOW = "allow"
    """It is made, marked as unpriced, past every budget."""
    REFUSE = "refuse"
    """It is not made."""
    ASSUME = "assume"
    """It is held and charged at the provider's assumed price, and marked so."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether calls may go to a provider now."""

    reason: str = ""
    """Empty (they may), `circuit_open` or `provider_retry_after`."""
    until: datetime | None = None
    """When it may be worth asking again; None: nobody knows."""
    probe: bool = False
    """The circuit wants to be tried: exactly one call may go, after `take_probe`."""


OPEN_GATE = Gate()


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One entry of a model picker."""

    id: str
    """What a caller names: a route's alias, or `provider/model`."""
    label: str
