"""Fold the pieces of an answer into the whole, and judge it."""

from collections.abc import Callable
from dataclasses import replace

from providers import structured, tokens
from providers.errors import (
    ConnectTimeout,
    ContentRefused,
    EmptyAnswer,
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    StreamCut,
)
from providers.tool_calls import ToolCalls
from providers.types import (
    Completion,
    CompletionRequest,
    Delta,
    DeltaKind,
    Finish,
    FinishReason,
    Usage,
    UsageSource,
    storable,
)

SLACK_CHARACTERS = 65_536
CHARACTERS_PER_TOKEN = 128
"""The longest tokens there are."""
WORKED = (StreamCut, ProviderTimeout, MalformedAnswer, EmptyAnswer)
"""Errors before which a provider may have read the prompt, and bill it."""

NOTHING = Usage(source=UsageSource.COUNTED)


def worked(error: ProviderError) -> bool:
    """Return whether the provider may have read the prompt before this error, and bill it."""
    return isinstance(error, WORKED) and not isinstance(error, ConnectTimeout)


class Fold:
    """One answer as it comes: passes the pieces on, and keeps them."""

    def __init__(self, request: CompletionRequest, on_delta: Callable[[Delta], None]) -> None:
        self.request, self.on_delta = request, on_delta
        self.pieces: dict[DeltaKind, list[str]] = {kind: [] for kind in DeltaKind}
        self.tool_calls = ToolCalls()
        self.told: Usage | None = None
        """What the provider said was used so far."""
        self.finish: Finish | None = None
        self.room = request.max_output_tokens * CHARACTERS_PER_TOKEN + SLACK_CHARACTERS

    @property
    def has_begun(self) -> bool:
        """Has anything come?"""
        return any(self.pieces.values())

    def text(self, *kinds: DeltaKind) -> str:
        """Return what came of these kinds."""
        return "".join("".join(self.pieces[kind]) for kind in kinds)

    def take(self, item: Delta | Usage | Finish) -> None:
        """Keep a piece and pass it on, fit to be stored; raises MalformedAnswer when it is endless."""
        if isinstance(item, Usage):
            self.told = item
            return
        if isinstance(item, Finish):
            self.finish = item
            return
        if not item.data:
            return
        delta = Delta(item.kind, storable(item.data))
        self.room -= len(delta.data)
        if self.room < 0:
            raise MalformedAnswer("The answer is far longer than was asked for.")
        if delta.kind == DeltaKind.TOOL_CALL:
            self.tool_calls.add(delta)
        self.pieces[delta.kind].append(delta.data)
        self.on_delta(delta)

    def completion(self) -> Completion:
        """
        Return the finished answer.

        Raises StreamCut, EmptyAnswer, ContentRefused or MalformedAnswer when it is none. A format is checked only
        where the model had said all: what its output cap cut cannot be whole.
        """
        finish = self.finish
        if finish is None:
            raise StreamCut
        text = self.text(DeltaKind.TEXT) or self.text(DeltaKind.REFUSAL)
        if not text and not self.pieces[DeltaKind.TOOL_CALL]:
            if finish.reason == FinishReason.REFUSAL:
                raise ContentRefused
            if finish.reason != FinishReason.LENGTH:
                raise EmptyAnswer
        if self.request.answer_format and finish.reason == FinishReason.STOP:
            structured.check(text, self.request.answer_format)
        request_id = storable(finish.provider_request_id)[:200]
        calls = self.tool_calls.whole()
        return Completion(text, finish.reason, self.billed(finish), request_id, calls)

    def explain(self, error: ProviderError) -> None:
        """Tell the error what came before it and what the call used."""
        error.partial = self.text(DeltaKind.TEXT)
        if error.usage is None and self.finish:
            error.usage = self.billed(self.finish)
        if error.usage is None:
            is_used = self.finish or self.told or self.has_begun or worked(error)
            error.usage = self.counted() if is_used else NOTHING

    def billed(self, finish: Finish) -> Usage:
        """Return what the provider says, unless that cannot be: some say that a whole answer took no tokens."""
        said = finish.usage
        if said is None or not said.total_input or (self.has_begun and not said.total_output):
            return self.counted()
        return said

    def counted(self) -> Usage:
        """Return the usage as far as we can see it, never below what the provider said so far."""
        said = self.text(DeltaKind.TEXT, DeltaKind.REFUSAL) + self.tool_calls.text
        seen = tokens.count_usage(
            self.request.messages,
            said,
            self.text(DeltaKind.REASONING),
            tools=self.request.tools,
            answer_format=self.request.answer_format,
        )
        if self.told is None or not self.told.total_input:
            return seen
        return replace(
            self.told,
            output_tokens=max(seen.output_tokens, self.told.output_tokens),
            reasoning_tokens=max(seen.reasoning_tokens, self.told.reasoning_tokens),
            source=UsageSource.ESTIMATED,
        )
