"""Call: one request to one provider, its answer folded, its bill known. Trying again is not decided here."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from providers import loop, pricing, registry, structured, tokens
from providers.adapters.base import Adapter
from providers.errors import FirstTokenTimeout, IdleTimeout, ProviderError, ProviderTimeout, TotalTimeout
from providers.folding import NOTHING, Fold, worked
from providers.types import (
    AnswerFormat,
    Candidate,
    Completion,
    CompletionRequest,
    Delta,
    EmbeddingRequest,
    Embeddings,
    Message,
    Tool,
    Unpriced,
    Usage,
)

OnDelta = Callable[[Delta], None]


async def complete(candidate: Candidate, request: CompletionRequest, on_delta: OnDelta) -> Completion:
    """
    Call the candidate and return its whole answer; `on_delta` gets each piece as it comes, on this loop, storable.

    Raises ProviderError with `.usage` and `.partial` set. What the provider does not say about usage is counted from
    what came. Cancelling ends the call at once.
    """
    fold = Fold(request, on_delta)
    try:
        adapter = registry.adapter(candidate.provider)
        stream = request.stream and adapter.capabilities.streams
        await _receive(adapter, replace(request, model=candidate.model, stream=stream), fold)
        # In a thread: other calls' tokens must not wait while a large answer is held to its schema.
        return await asyncio.to_thread(fold.completion) if request.answer_format else fold.completion()
    except ProviderError as error:
        fold.explain(error)
        raise


async def _receive(adapter: Adapter, request: CompletionRequest, fold: Fold) -> None:
    """Take what comes until the finish, within the adapter's patience and the request's total time."""
    clock = asyncio.get_running_loop()
    last = clock.time() + request.total_timeout_seconds
    patience = adapter.patience
    first = clock.time() + patience.first_token_seconds if request.stream else last
    try:
        async with asyncio.timeout_at(min(first, last)) as scope, aclosing(adapter.stream(request)) as items:
            async for item in items:
                fold.take(item)
                if fold.finish:
                    break
                if isinstance(item, Usage):
                    continue
                scope.reschedule(min(clock.time() + patience.idle_seconds, last))
    except TimeoutError:
        raise _timeout(fold, is_over=clock.time() >= last) from None


def _timeout(fold: Fold, *, is_over: bool) -> ProviderTimeout:
    if is_over:
        return TotalTimeout()
    return IdleTimeout() if fold.has_begun else FirstTokenTimeout()


def start(candidate: Candidate, request: CompletionRequest, on_delta: OnDelta) -> Future[Completion]:
    """
    Begin the call on the process's loop and return its future; cancelling that closes the HTTP request at once.

    `on_delta` runs on the loop's thread and must not wait. One more piece may come while a cancel is on its way.
    """
    return loop.submit(complete(candidate, request, on_delta))


def stop(timeout_seconds: float) -> None:
    """Cancel all calls of this process, close its connections and end its loop, waiting so long for it."""
    loop.stop(timeout_seconds)


async def embed(candidate: Candidate, request: EmbeddingRequest) -> Embeddings:
    """
    Turn the request's texts into vectors at the candidate.

    Raises ProviderError with `.usage` set.
    """
    try:
        adapter = registry.adapter(candidate.provider)
        async with asyncio.timeout(request.total_timeout_seconds):
            return await adapter.embed(replace(request, model=candidate.model))
    except TimeoutError:
        error: ProviderError = TotalTimeout()
    except ProviderError as raised:
        error = raised
    error.usage = tokens.count_texts(request.texts) if worked(error) else NOTHING
    raise error


def start_embedding(candidate: Candidate, request: EmbeddingRequest) -> Future[Embeddings]:
    """Begin the call on the process's loop and return its future; cancelling that closes the HTTP request at once."""
    return loop.submit(embed(candidate, request))


def estimate_input_tokens(
    messages: Iterable[Message], *, tools: Sequence[Tool] = (), answer_format: AnswerFormat | None = None
) -> int:
    """Return how many tokens a prompt is, rather too many than too few."""
    return tokens.estimate_input(messages, tools, answer_format)


def count_usage(
    messages: Iterable[Message],
    output: str,
    *,
    tools: Sequence[Tool] = (),
    answer_format: AnswerFormat | None = None,
) -> Usage:
    """Return the usage of a call that ended without a word about it, a cancelled one say, from what had come."""
    return tokens.count_usage(messages, output, tools=tools, answer_format=answer_format)


def count_texts(texts: Iterable[str]) -> Usage:
    """Return the usage of texts that are turned into vectors, rather too many tokens than too few."""
    return tokens.count_texts(texts)


def continues(candidate: Candidate) -> bool:
    """Do the candidate's models go on with an answer that stands at the end of the conversation?"""
    return candidate.provider in registry.adapters() and registry.adapter(candidate.provider).capabilities.continues


def schema_complaint(schema: Mapping[str, Any]) -> str:
    """Return what is wrong with a schema that answers are to have, in a line; empty: nothing."""
    return structured.complaint(schema)


def cost_usd(candidate: Candidate, usage: Usage, at: datetime) -> Decimal | None:
    """Return what the usage costs at that moment's price, unrounded; None: unpriced."""
    return pricing.cost_usd(candidate, usage, at)


def bound_usd(candidate: Candidate, input_tokens: int, output_tokens: int, at: datetime) -> Decimal | None:
    """Return the most that a call with at most so many tokens can cost, unrounded; None: unpriced."""
    return pricing.bound_usd(candidate, input_tokens, output_tokens, at)


def is_assumed(candidate: Candidate, usage: Usage, at: datetime) -> bool:
    """Is that cost by an assumed price, for want of one?"""
    return pricing.is_assumed(candidate, usage, at)


def unpriced(provider: str) -> Unpriced:
    """Return what becomes of the provider's calls whose price is not known."""
    return pricing.unpriced(provider)
