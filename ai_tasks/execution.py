"""Stations 4 to 6: begin a handed-over task, call its provider, settle the outcome."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from ai_tasks import clock, completing, crash_points, finish_hooks, lease, process, progress, settlement, spans
from ai_tasks.chunks import Piece
from ai_tasks.completing import Answered
from ai_tasks.errors import DATABASE_AWAY
from ai_tasks.lease import Lease
from ai_tasks.models import AIGenerationTask
from ai_tasks.progress import Call, ticker
from ai_tasks.task_types import registry
from ai_tasks.task_types.base import Prompt, Texts
from ai_tasks.together import Together
from providers import gateway
from providers.errors import BadRequest, ContentRefused, MalformedAnswer, ProviderError
from providers.types import (
    Candidate,
    Completion,
    CompletionRequest,
    EmbeddingRequest,
    Embeddings,
    FinishReason,
    Message,
    Usage,
)
from queueing.entries import Handed

logger = logging.getLogger(__name__)

LONGEST_CALL_SECONDS = 600.0
SETTLE_AGAIN_SECONDS = 1.0

Outcome = Completion | Embeddings | ProviderError | Usage
"""An answer, an error, or, of a call that we stopped ourselves, what it used."""


def run(task_id: UUID, epoch: int, dispatch_id: UUID) -> bool:
    """
    Run one handed-over task to the end of this attempt; False when it was not ours to run.

    A message that is late, doubled or lost elsewhere does no harm: beginning is a compare-and-set on
    (task, epoch, dispatch id).
    """
    begun = _beginning.do(Handed(task_id, epoch, dispatch_id))
    if begun is None:
        return False
    crash_points.reached("begun")
    call = Call(begun.task, epoch, begun.next_seq)
    ticker.register(call)
    try:
        with spans.attempt(begun):
            outcome = _call(begun, call)
            crash_points.reached("answered")
            settle(call, outcome)
    finally:
        ticker.unregister(call)
    crash_points.reached("ended")
    if registry.get(call.task.type).on_finished:
        finish_hooks.run_for(task_id)
    return True


def _begin(handed: Handed) -> Lease | None:
    tasks, worker = AIGenerationTask.objects.all(), process.boot_id()
    return lease.begin(
        tasks, handed.task_id, handed.epoch, dispatch_id=handed.dispatch_id, worker=worker, now=clock.now()
    )


def _begin_all(handed: Sequence[Handed]) -> list[Lease | None]:
    return lease.begin_all(AIGenerationTask.objects.all(), handed, worker=process.boot_id(), now=clock.now())


_beginning: Together[Handed, Lease | None] = Together(_begin, _begin_all)
_completing: Together[Answered, bool] = Together(
    lambda answered: completing.complete(AIGenerationTask.objects.all(), answered, clock.now()),
    lambda several: completing.complete_all(AIGenerationTask.objects.all(), several, clock.now()),
)


def _call(begun: Lease, call: Call) -> Outcome:
    """Ask the provider and wait, without a database connection, for the end of the answer."""
    try:
        prompt = registry.get(begun.task.type).build(begun.task)
        request = _request(begun, prompt)
    except Exception as error:
        logger.exception("The prompt of task %s could not be built.", call.task.pk)
        return BadRequest(f"The prompt could not be built: {type(error).__name__}.")
    process.give_connection_back()
    with spans.call(call.task, request) as (span, traced):
        outcome = _ask(begun, call, prompt, traced)
        spans.tell(span, call.task, outcome)
    return outcome


def _ask(begun: Lease, call: Call, prompt: Prompt | Texts, request: CompletionRequest | EmbeddingRequest) -> Outcome:
    candidate = Candidate(call.task.provider, call.task.model)
    try:
        if isinstance(request, EmbeddingRequest):
            call.begin(partial(gateway.start_embedding, candidate, request))
        else:
            call.begin(partial(gateway.start, candidate, request, call.add))
        crash_points.reached("called")
        return _held(begun, call.result())
    except ProviderError as error:
        return error
    except CancelledError:
        return _used(prompt, call)
    except Exception:
        logger.exception("The adapter of %s failed.", candidate)
        failed = MalformedAnswer("The provider's adapter failed; the log says how.")
        failed.usage = _used(prompt, call)
        return failed


def _held(begun: Lease, answer: Completion | Embeddings) -> Completion | Embeddings:
    """Return the answer, if it is whole and its type can read it; raises what it is instead, with what it used."""
    read = registry.get(begun.task.type).read
    if read is None or isinstance(answer, Embeddings):
        return answer
    try:
        if answer.finish_reason == FinishReason.REFUSAL:
            raise ContentRefused
        if answer.truncated:
            # It would be cut again.
            raise BadRequest("The answer needs more than max_output_tokens.")
        read(begun.begun + answer.text)
    except ProviderError as error:
        error.usage = answer.usage
        raise
    except ValueError as error:
        unfit = MalformedAnswer(f"The answer cannot be read: {error}"[:300])
        unfit.usage = answer.usage
        raise unfit from None
    return answer


def _request(begun: Lease, prompt: Prompt | Texts) -> CompletionRequest | EmbeddingRequest:
    task = begun.task
    seconds_left = (task.deadline_at - clock.now()).total_seconds()
    common: dict[str, Any] = {
        "model": task.model,
        "request_id": f"{task.pk}.{begun.epoch}",
        "total_timeout_seconds": max(0.0, min(LONGEST_CALL_SECONDS, seconds_left)),
        "options": prompt.options,
    }
    if isinstance(prompt, Texts):
        return EmbeddingRequest(texts=prompt.texts, dimensions=prompt.dimensions, **common)
    return CompletionRequest(
        messages=(*prompt.messages, Message("assistant", begun.begun)) if begun.begun else prompt.messages,
        max_output_tokens=min(prompt.max_output_tokens, begun.max_output_tokens or prompt.max_output_tokens),
        temperature=prompt.temperature,
        top_p=prompt.top_p,
        stop=prompt.stop,
        tools=prompt.tools,
        tool_choice=prompt.tool_choice,
        answer_format=prompt.answer_format,
        **common,
    )


def _used(prompt: Prompt | Texts, call: Call) -> Usage:
    """Return what a call that we cut used, by size: the provider will not say. Nothing, if it was never made."""
    return settlement.NOTHING_USED if call.future is None else prompt.used(call.streamed)


def settle(call: Call, outcome: Outcome) -> bool:
    """Write the outcome, again and again while the database is away, until it is taken or refused by the fence."""
    call.flushing.acquire()
    pieces = call.take()
    while True:
        try:
            return _settle_once(call, outcome, pieces)
        except DATABASE_AWAY as error:
            logger.warning("Task %s is not settled yet: %s", call.task.pk, error)
            process.give_connection_back()
            threading.Event().wait(SETTLE_AGAIN_SECONDS)
        except DatabaseError:
            if not pieces:
                raise
            logger.exception("The answer of task %s could not be stored.", call.task.pk)
            outcome, pieces = MalformedAnswer("The answer could not be stored."), []


def _settle_once(call: Call, outcome: Outcome, pieces: list[Piece]) -> bool:
    tasks = AIGenerationTask.objects.all()
    now, first_token_at = clock.now(), _wall_time(call.first_token_at)
    if isinstance(outcome, Completion | Embeddings):
        return _completing.do(Answered(*call.key, outcome, pieces, first_token_at))
    if isinstance(outcome, ProviderError):
        return settlement.fail(tasks, *call.key, outcome, pieces=pieces, first_token_at=first_token_at, now=now)
    is_cancelled = call.stopped_as == progress.CANCELLED
    return settlement.stop(tasks, *call.key, outcome, pieces=pieces, is_cancelled=is_cancelled, now=now)


def _wall_time(monotonic: float | None) -> datetime | None:
    if monotonic is None:
        return None
    return clock.now() - timedelta(seconds=time.monotonic() - monotonic)
