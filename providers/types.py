"""What crosses the wall, in our own words. Frozen; no vendor type among them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from providers.prompts import AnswerFormat as AnswerFormat
from providers.prompts import Image as Image
from providers.prompts import Message as Message
from providers.prompts import Part as Part
from providers.prompts import Tool as Tool
from providers.prompts import ToolCall as ToolCall

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
    """We know it without being told: a call that was turned away used nothing."""
    ESTIMATED = "estimated"
    """It did not say: counted by us from the size of what was sent and what came."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One (provider, model) of a route."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class AfterError(StrEnum):
    """What a route may say follows an error."""

    FALL_BACK = "fall_back"
    """The next place, at once."""
    RETRY = "retry"
    """The same place again, later."""
    FAIL = "fail"


class AfterCut(StrEnum):
    """What a route may say becomes of an answer that broke off."""

    RESTART = "restart"
    """The next attempt begins anew, and the client is told that what came is void."""
    CONTINUE = "continue"
    """It goes on from what came, where its models do."""


@dataclass(frozen=True, slots=True)
class Place:
    """A candidate, and how many tokens it takes, input and output together; None: not known."""

    candidate: Candidate
    window_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """What a caller's `model` stands for."""

    places: tuple[Place, ...]
    on_error: Mapping[str, str] = field(default_factory=dict)
    """By error code an AfterError; what is left out goes by the error's class."""
    max_usd_per_call: Decimal | None = None
    """A place where a call may cost more is left out."""
    after_cut: str = AfterCut.RESTART


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One call: who is asked, what, and how much it may answer."""

    model: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    """Always sent to the provider, so that the money held for the call is a bound."""
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    """Where one of these comes, the answer ends before it."""
    tools: tuple[Tool, ...] = ()
    tool_choice: str = ""
    """auto, none, required, or the name of the one tool to call; empty: as the provider likes."""
    answer_format: AnswerFormat | None = None
    stream: bool = True
    request_id: str = ""
    """Ours, `<task id>.<epoch>`; sent along so that both sides' logs meet."""
    traceparent: str = ""
    """Sent along as a header of W3C Trace Context; empty: nothing is."""
    total_timeout_seconds: float = 600.0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Extra settings that only some adapters read (the simulator's script)."""

    @property
    def sampling(self) -> dict[str, float]:
        """`temperature` and `top_p`, as far as they are given."""
        given = {"temperature": self.temperature, "top_p": self.top_p}
        return {name: value for name, value in given.items() if value is not None}


BUCKETS = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
"""The disjoint kinds of tokens: Usage has `<bucket>_tokens` of each, and a price `<bucket>_usd`."""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to be turned into vectors."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None = None
    """How long the vectors are to be; None: as the model likes."""
    request_id: str = ""
    traceparent: str = ""
    total_timeout_seconds: float = 60.0
    options: Mapping[str, Any] = field(default_factory=dict)


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
    """Text; of a tool call JSON: `{"index", "id"?, "name"?, "arguments"?, "signature"?}`, arguments in fragments."""


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
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def truncated(self) -> bool:
        """Was it cut by the output cap?"""
        return self.finish_reason == FinishReason.LENGTH


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A vector for each text, in their order."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage
    provider_request_id: str = ""


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
    is_probing: bool = False
    """The half-open circuit's one call is on its way; it alone may begin."""


OPEN_GATE = Gate()


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One entry of a model picker."""

    id: str
    """What a caller names: a route's alias, or `provider/model`."""
    label: str
