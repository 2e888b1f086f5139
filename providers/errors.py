"""
What can go wrong at a provider, as a tree.

ProviderError
├── RateLimited              the provider's 429; closes the rate gate, uses up no try
├── Overloaded               it is there, but too busy
├── Unavailable              refused, unreachable, 5xx
├── StreamCut                the connection ended before the answer did
├── ProviderTimeout
│   ├── ConnectTimeout
│   ├── FirstTokenTimeout
│   ├── IdleTimeout          too long between two tokens
│   └── TotalTimeout
├── MalformedAnswer          not the shape that was promised
├── EmptyAnswer              nothing in it
├── BadRequest               it will never take this request
│   └── ContextWindowExceeded
├── ContentRefused           it, or its filter, refused the content
├── AuthenticationFailed     our key is wrong
├── PermissionRefused        our key may not do this
├── ModelNotFound            it has no such model
└── QuotaExhausted           our account there has no money left
"""

from enum import StrEnum

from providers.types import Usage


class Blame(StrEnum):
    """Whose circuit an error counts against."""

    NOBODY = ""
    """The provider did its work, or cannot be judged by this."""
    MODEL = "model"
    PROVIDER = "provider"


class Opens(StrEnum):
    """When an error opens the circuit that it counts against."""

    NEVER = "no"
    WITH_OTHERS = "with others"
    """Where there are enough of them: in a row, or among the calls of a span of time."""
    AT_ONCE = "at once"
    UNTIL_OPERATOR = "until an operator acts"
    """At once, and time alone mends nothing."""


class ProviderError(Exception):
    """The provider could not answer."""

    code = "provider_error"
    """The word for it in the API, the dead letters and the statistics."""
    retryable = True
    """May the same provider be asked again, later?"""
    falls_back = True
    """May the route's next candidate be asked instead?"""
    blames = Blame.NOBODY
    opens = Opens.NEVER
    used_up = True
    """Does it use up one of the task's tries? False where the provider did no work for us."""

    def __init__(self, message: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.retry_after_seconds = retry_after_seconds
        self.usage: Usage | None = None
        """What the failed call used, as far as is known; set by the gateway."""
        self.partial = ""
        """The text that came before the error; set by the gateway."""


class RateLimited(ProviderError):
    """The provider's rate limit was reached."""

    code = "rate_limited"
    used_up = False
    scope = ""
    """Which limit: requests, tokens, or day for a daily one; empty: it did not say."""


class Overloaded(ProviderError):
    """The provider is overloaded."""

    code = "overloaded"
    used_up = False
    blames = Blame.MODEL
    opens = Opens.WITH_OTHERS


class Unavailable(ProviderError):
    """The provider is unavailable."""

    code = "unavailable"
    used_up = False
    blames = Blame.PROVIDER
    opens = Opens.WITH_OTHERS


class StreamCut(ProviderError):
    """The stream ended before the answer did."""

    code = "stream_cut"
    blames = Blame.PROVIDER
    opens = Opens.WITH_OTHERS


class ProviderTimeout(ProviderError):
    """The provider took too long."""

    code = "timeout"
    blames = Blame.PROVIDER
    opens = Opens.WITH_OTHERS


class ConnectTimeout(ProviderTimeout):
    """No connection to the provider in time."""

    code = "connect_timeout"
    used_up = False


class FirstTokenTimeout(ProviderTimeout):
    """No first token in time."""

    code = "first_token_timeout"


class IdleTimeout(ProviderTimeout):
    """The stream stood still for too long."""

    code = "idle_timeout"


class TotalTimeout(ProviderTimeout):
    """The whole answer took too long."""

    code = "total_timeout"
    blames = Blame.NOBODY
    opens = Opens.NEVER


class MalformedAnswer(ProviderError):
    """The provider's answer was not in the promised form."""

    code = "malformed_answer"


class EmptyAnswer(ProviderError):
    """The provider's answer was empty."""

    code = "empty_answer"


class BadRequest(ProviderError):
    """The provider will not take this request."""

    code = "bad_request"
    retryable = False
    falls_back = False


class ContextWindowExceeded(BadRequest):
    """The input is larger than the model's context window."""

    code = "context_window_exceeded"
    falls_back = True


class ContentRefused(ProviderError):
    """The provider refused the content."""

    code = "content_refused"
    retryable = False
    falls_back = False


class AuthenticationFailed(ProviderError):
    """The provider does not accept our key."""

    code = "authentication_failed"
    retryable = False
    blames = Blame.PROVIDER
    opens = Opens.UNTIL_OPERATOR


class PermissionRefused(ProviderError):
    """Our key may not do this at the provider."""

    code = "permission_refused"
    retryable = False


class ModelNotFound(ProviderError):
    """The provider has no such model."""

    code = "model_not_found"
    retryable = False
    blames = Blame.MODEL
    opens = Opens.AT_ONCE


class QuotaExhausted(ProviderError):
    """Our account at the provider is used up."""

    code = "quota_exhausted"
    retryable = False
    blames = Blame.PROVIDER
    opens = Opens.UNTIL_OPERATOR


def codes(root: type[ProviderError] = ProviderError) -> list[str]:
    """Return the codes of all errors."""
    return [code for kind in root.__subclasses__() for code in (kind.code, *codes(kind))]
