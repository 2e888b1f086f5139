"""An AI service that is no service: in this process, deterministic, and scriptable down to its failures."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace

from providers import tokens, tool_calls
from providers.adapters import simulator_answers, simulator_script
from providers.adapters.base import Adapter, Capabilities
from providers.adapters.simulator_script import EMPTY, FAILURES, STALL, Script
from providers.errors import MalformedAnswer, ProviderError, StreamCut
from providers.tool_calls import ToolCalls
from providers.types import (
    CompletionRequest,
    Delta,
    DeltaKind,
    EmbeddingRequest,
    Embeddings,
    Finish,
    FinishReason,
    ProviderConfig,
    Usage,
    UsageSource,
    storable,
)

TOKENS_BETWEEN_BREATHS = 32
SHORTEST_SLEEP_SECONDS = 0.001


class SimulatorAdapter(Adapter):
    """Plays the script in `request.options["simulate"]`; without one it answers pleasantly."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.capabilities = Capabilities(
            reasoning=True, tool_calls=True, network=False, continues=config.options.get("continues", True)
        )

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Usage | Finish, None]:
        """Play the script: wait, say, and end or fail as it says."""
        script = simulator_script.parse(request.options.get("simulate"))
        failure = script.failure(request.request_id)
        text, reason = _words(script, failure, request)
        delivered = 0
        if script.reasoning and not failure:
            yield Delta(DeltaKind.REASONING, storable(script.reasoning))
        async with aclosing(_spoken(text, script)) as spoken:
            async for tokens_so_far, piece in spoken:
                if request.stream:
                    delivered = tokens_so_far
                    yield Delta(DeltaKind.TEXT, piece)
        if failure == STALL:
            await asyncio.get_running_loop().create_future()
        if failure in FAILURES:
            raise _error(failure, script, request, delivered)
        if text and not request.stream:
            yield Delta(DeltaKind.TEXT, text)
        calls = list(_calls(script))
        for delta in calls:
            yield delta
        usage = replace(
            _usage(request, tokens.count(text) + tokens.count(ToolCalls.of(calls).text), script.cached_tokens),
            reasoning_tokens=tokens.count(script.reasoning),
        )
        reason = FinishReason.TOOL_CALLS if calls else reason
        yield Finish(reason, usage if script.usage else None, f"sim-{request.request_id or 'call'}"[:200])

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Return made-up vectors of length one, the same for the same text."""
        script = simulator_script.parse(request.options.get("simulate"))
        await asyncio.sleep(script.latency_ms / 1000)
        if failure := script.failure(request.request_id):
            raise FAILURES.get(failure, MalformedAnswer)(f"Simulated: {failure}.")
        size = request.dimensions or simulator_answers.DIMENSIONS
        vectors = tuple(simulator_answers.vector(text, size) for text in request.texts)
        return Embeddings(vectors, replace(tokens.count_texts(request.texts), source=UsageSource.PROVIDER))


def _words(script: Script, failure: str, request: CompletionRequest) -> tuple[str, FinishReason]:
    """Return what is said before the end or the failure, within the request's output cap, and why it would end."""
    *before, last = request.messages
    begun = str(last.content) if before and last.role == "assistant" else ""
    request = replace(request, messages=tuple(before)) if begun else request
    if failure == EMPTY:
        return "", FinishReason.STOP
    if script.text is not None or script.tool_calls:
        text = storable(script.text or "")
    elif script.output_tokens is not None:
        text = simulator_answers.filler(
            min(script.output_tokens, request.max_output_tokens + 1), request.messages, script.seed
        )
    elif request.answer_format:
        text = simulator_answers.value_of(request.answer_format.schema)
    else:
        text = storable(simulator_answers.answer(request.messages, script.seed))
    text = _until(text, request.stop)
    text = text.removeprefix(begun)
    said = tokens.prefix(text, request.max_output_tokens)
    reason = FinishReason.STOP if said == text else FinishReason.LENGTH
    return (tokens.prefix(said, script.fail_after_tokens) if failure else said), reason


def _until(text: str, stops: tuple[str, ...]) -> str:
    """Return the text before the first of these that it has."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


async def _spoken(text: str, script: Script) -> AsyncGenerator[tuple[int, str], None]:
    """Yield the text token by token at the script's speed, after its latency."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(script.latency_ms / 1000)
    began = loop.time()
    for tokens_so_far, piece in tokens.pieces(text):
        due = began + tokens_so_far / script.tokens_per_second if script.tokens_per_second else 0.0
        if (ahead := due - loop.time()) > SHORTEST_SLEEP_SECONDS:
            await asyncio.sleep(ahead)
        elif tokens_so_far % TOKENS_BETWEEN_BREATHS == 0:
            await asyncio.sleep(0)
        yield tokens_so_far, piece


def _calls(script: Script) -> Iterator[Delta]:
    """Yield the script's tool calls as a model streams them: first the name, then the arguments in pieces."""
    for index, call in enumerate(script.tool_calls):
        said = json.dumps(call.get("arguments", {}), ensure_ascii=False)
        yield tool_calls.delta(index, id=f"call_{index}", name=call["name"])
        for piece in (said[: len(said) // 2], said[len(said) // 2 :]):
            yield tool_calls.delta(index, arguments=piece)


def _usage(request: CompletionRequest, output_tokens: int, cached_tokens: int = 0) -> Usage:
    asked = tokens.estimate_input(request.messages, request.tools, request.answer_format)
    cached = min(cached_tokens, asked)
    return Usage(input_tokens=asked - cached, cache_read_tokens=cached, output_tokens=output_tokens)


def _error(failure: str, script: Script, request: CompletionRequest, delivered: int) -> ProviderError:
    """Return the failure with its bill: nothing for a call that was turned away, else what it had read and said."""
    kind = FAILURES[failure]
    error = kind(f"Simulated: {failure}.")
    if failure in ("rate_limited", "overloaded"):
        error.retry_after_seconds = float(script.retry_after_seconds)
    began = delivered > 0 or issubclass(kind, StreamCut | MalformedAnswer)
    error.usage = _usage(request, delivered) if began else Usage()
    return error
