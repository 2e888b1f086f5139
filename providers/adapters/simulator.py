"""An AI service that is no service: in this process, deterministic, and scriptable down to its failures."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from providers import tokens
from providers.adapters import simulator_answers, simulator_script
from providers.adapters.base import Adapter, Capabilities
from providers.adapters.simulator_script import EMPTY, FAILURES, STALL, Script
from providers.errors import MalformedAnswer, ProviderError, StreamCut
from providers.types import CompletionRequest, Delta, DeltaKind, Finish, FinishReason, ProviderConfig, Usage, storable

TOKENS_BETWEEN_BREATHS = 32
SHORTEST_SLEEP_SECONDS = 0.001


class SimulatorAdapter(Adapter):
    """Plays the script in `request.options["simulate"]`; without one it answers pleasantly."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self.capabilities = Capabilities(network=False)

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta | Finish, None]:
        """Play the script: wait, say, and end or fail as it says."""
        script = simulator_script.parse(request.options.get("simulate"))
        failure = script.failure(request.request_id)
        text, reason = _words(script, failure, request)
        delivered = 0
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
        yield Finish(reason, _usage(request, tokens.count(text)), f"sim-{request.request_id or 'call'}"[:200])


def _words(script: Script, failure: str, request: CompletionRequest) -> tuple[str, FinishReason]:
    """Return what is said before the end or the failure, within the request's output cap, and why it would end."""
    if failure == EMPTY:
        return "", FinishReason.STOP
    if script.text is not None:
        text = storable(script.text)
    elif script.output_tokens is not None:
        text = simulator_answers.filler(
            min(script.output_tokens, request.max_output_tokens + 1), request.messages, script.seed
        )
    else:
        text = storable(simulator_answers.answer(request.messages, script.seed))
    said = tokens.prefix(text, request.max_output_tokens)
    reason = FinishReason.STOP if said == text else FinishReason.LENGTH
    return (tokens.prefix(said, script.fail_after_tokens) if failure else said), reason


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


def _usage(request: CompletionRequest, output_tokens: int) -> Usage:
    return Usage(input_tokens=tokens.estimate_input(request.messages), output_tokens=output_tokens)


def _error(failure: str, script: Script, request: CompletionRequest, delivered: int) -> ProviderError:
    """Return the failure with its bill: nothing for a call that was turned away, else what it had read and said."""
    kind = FAILURES[failure]
    error = kind(f"Simulated: {failure}.")
    if failure in ("rate_limited", "overloaded"):
        error.retry_after_seconds = float(script.retry_after_seconds)
    began = delivered > 0 or issubclass(kind, StreamCut | MalformedAnswer)
    error.usage = _usage(request, delivered) if began else Usage()
    return error
