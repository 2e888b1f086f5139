"""The spans of an attempt, by OpenTelemetry's conventions for generative AI: names and numbers, no content."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.conf import settings

from ai_tasks import trail
from ai_tasks.lease import Lease
from ai_tasks.trail import Span, Trail
from providers.errors import ProviderError
from providers.types import Completion, CompletionRequest, EmbeddingRequest, Embeddings, Usage

logger = logging.getLogger(__name__)

VENDORS = {"gemini": "gcp.gemini", "simulator": "tasuki.simulator"}
"""What the conventions call an adapter's vendor, where that is not the adapter's name."""

Request = CompletionRequest | EmbeddingRequest


@contextmanager
def attempt(begun: Lease) -> Iterator[None]:
    """Run an attempt under its ids, and under a span below the request that asked for it."""
    task = begun.task
    ids = Trail(task.request_id, str(task.pk), begun.epoch, task.traceparent)
    told = {"tasuki.task.id": ids.task_id, "tasuki.task.type": task.type, "tasuki.attempt": begun.epoch}
    with trail.following(ids), trail.span(f"run {task.type}", "consumer", {**told, "messaging.system": "celery"}):
        yield


@contextmanager
def call(task: Any, request: Request) -> Iterator[tuple[Span, Request]]:
    """Call a provider under a span; yields it and the request, which takes the trace along where that is wished."""
    is_chat = isinstance(request, CompletionRequest)
    operation = "chat" if is_chat else "embeddings"
    adapter = settings.AI_PROVIDERS.get(task.provider, {}).get("adapter", task.provider)
    told = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": VENDORS.get(adapter, adapter),
        "gen_ai.request.model": task.model,
        "tasuki.provider": task.provider,
    }
    if isinstance(request, CompletionRequest):
        asked = {"max_tokens": request.max_output_tokens, "temperature": request.temperature, "top_p": request.top_p}
        told |= {f"gen_ai.request.{name}": value for name, value in asked.items() if value is not None}
    with trail.span(f"{operation} {task.model}", "client", told) as span:
        if settings.AI_TRACE_PROVIDERS:
            request = replace(request, traceparent=trail.current().traceparent)
        yield span, request


def tell(span: Span, task: Any, outcome: Completion | Embeddings | ProviderError | Usage) -> None:
    """Tell a call's span, and the log, what came of it."""
    told: dict[str, Any] = {}
    word = "stopped" if isinstance(outcome, Usage) else "answered"
    if isinstance(outcome, ProviderError):
        word = told["error.type"] = outcome.code
    if isinstance(outcome, Completion):
        told["gen_ai.response.finish_reasons"] = [str(outcome.finish_reason)]
    logger.info("A call has ended.", extra={"provider": task.provider, "model": task.model, "outcome": word})
    usage = outcome if isinstance(outcome, Usage) else outcome.usage
    if usage is not None:
        told |= {"gen_ai.usage.input_tokens": usage.total_input, "gen_ai.usage.output_tokens": usage.total_output}
    span.tell(told)
