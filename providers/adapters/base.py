"""The port: what every adapter offers, whatever its vendor speaks."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from providers.errors import BadRequest
from providers.types import CompletionRequest, Delta, EmbeddingRequest, Embeddings, Finish, ProviderConfig, Usage


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an adapter can do."""

    streams: bool = True
    """Does it bring output while it is made? If not, it is asked for the whole answer."""
    reasoning: bool = False
    """May it bring reasoning apart from the text?"""
    tool_calls: bool = False
    """May it bring tool calls?"""
    network: bool = True
    """Does a call leave this process?"""
    continues: bool = False
    """Do its models go on with an answer that stands at the end of the conversation?"""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the gateway waits for an adapter, in seconds; the total is the request's own."""

    connect_seconds: float = 10.0
    first_token_seconds: float = 60.0
    """From the call to the first piece of a streamed answer."""
    idle_seconds: float = 60.0
    """Between two pieces of a streamed answer."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Patience":
        """Return the patience that a provider's options ask for."""
        return cls(**{name: float(options[name]) for name in cls.__dataclass_fields__ if name in options})


class Adapter(ABC):
    """One way to speak with a service; one instance per configured provider, shared by all calls, without state."""

    OPTIONS: ClassVar[Mapping[str, type | tuple[type, ...]]] = {
        "connect_seconds": (int, float),
        "first_token_seconds": (int, float),
        "idle_seconds": (int, float),
        "continues": bool,
    }
    """What a provider's `options` may hold, with types; the system checks hold operators to it."""

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self.patience = Patience.of(config.options)
        self.capabilities = Capabilities(continues=config.options.get("continues", False))

    @abstractmethod
    def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Usage | Finish, None]:
        """
        Call the provider and yield the pieces of its answer, then one Finish, the last.

        A Usage in between is what the provider says was used so far: known even if the rest never comes.

        Raises ProviderError subclasses only. Closing the generator, or cancelling who waits for it, ends the call at
        the provider at once. It makes one call: trying again is for the caller to decide.
        """

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Turn texts into vectors; raises ProviderError subclasses only, BadRequest where the service has no such."""
        raise BadRequest(f"Provider {self.config.slug!r} has no embeddings.")
