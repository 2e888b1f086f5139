"""Fold the pieces of an answer into the whole, and judge it."""

from collections.abc import Callable

from providers import tokens
from providers.errors import ContentRefused, EmptyAnswer, MalformedAnswer, ProviderError, ProviderTimeout, StreamCut
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


class Fold:
    """One answer as it comes: passes the pieces on, and keeps them."""

    def __init__(self, request: CompletionRequest, on_delta: Callable[[Delta], None]) -> None:
        self.request, self.on_delta = request, on_delta
        self.pieces: dict[DeltaKind, list[str]] = {kind: [] for kind in DeltaKind}
        self.finish: Finish | None = None
        self.room = request.max_output_tokens * CHARACTERS_PER_TOKEN + SLACK_CHARACTERS

    @property
    def has_begun(self) -> bool:
        """Has anything come?"""
        return any(self.pieces.values())

    def text(self, *kinds: DeltaKind) -> str:
        """Return what came of these kinds."""
        return "".join("".join(self.pieces[kind]) for kind in kinds)

    def take(self, item: Delta | Finish) -> None:
        """Keep a piece and pass it on, fit to be stored; raises MalformedAnswer when it is endless."""
        if isinstance(item, Finish):
            self.finish = item
            return
        if not item.data:
            return
        delta = Delta(item.kind, storable(item.data))
        self.room -= len(delta.data)
        if self.room < 0:
            raise MalformedAnswer("The answer is far longer than was asked for.")
        self.pieces[delta.kind].append(delta.data)
        self.on_delta(delta)

    def completion(self) -> Completion:
        """Return the finished answer; raises StreamCut, EmptyAnswer or ContentRefused when it is none."""
        finish = self.finish
        if finish is None:
            raise StreamCut
        text = self.text(DeltaKind.TEXT) or self.text(DeltaKind.REFUSAL)
        if not text and not self.pieces[DeltaKind.TOOL_CALL]:
            if finish.reason == FinishReason.REFUSAL:
                raise ContentRefused
            if finish.reason != FinishReason.LENGTH:
                raise EmptyAnswer
        request_id = storable(finish.provider_request_id)[:200]
        return Completion(text, finish.reason, finish.usage or self.counted(), request_id)

    def explain(self, error: ProviderError) -> None:
        """Tell the error what came before it and what the call used."""
        error.partial = self.text(DeltaKind.TEXT)
        if error.usage is None and self.finish:
            error.usage = self.finish.usage
        if error.usage is None:
            worked = self.finish or self.has_begun or isinstance(error, WORKED)
            error.usage = self.counted() if worked else Usage(source=UsageSource.COUNTED)

    def counted(self) -> Usage:
        """Return the usage as far as we can see it."""
        said = self.text(DeltaKind.TEXT, DeltaKind.REFUSAL, DeltaKind.TOOL_CALL)
        return tokens.count_usage(self.request.messages, said, self.text(DeltaKind.REASONING))
