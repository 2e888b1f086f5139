"""The answers of /v1/responses that wait for their task, or tell of it while it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from ai_tasks.api.streams import PING_SECONDS, STREAM_HEADERS, closable, stands_for, with_silence
from ai_tasks.compat import response_answers
from ai_tasks.compat.response_answers import Events
from ai_tasks.compat.responses import CancelResponse, OneResponse, Responses
from ai_tasks.compat.streams import attended, data, headers, whole
from ai_tasks.delivery import end_of, follow, in_thread
from ai_tasks.models import AIGenerationTask
from ai_tasks.representation import task_json

STOPPED_WITHIN_SECONDS = 5.0
"""How long the answer to a cancel waits for the provider to be stopped."""

_create = Responses.as_view()
_one = OneResponse.as_view()
_cancel = CancelResponse.as_view()


@stands_for(Responses)
async def responses(request: HttpRequest) -> HttpResponseBase:
    """Create a response; answer with its beginning in the background, with its stream, or with its end."""
    made: Any = await in_thread(_create, request)
    if made.status_code != 202:
        refusal: HttpResponseBase = made
        return refusal
    task_id, asked = UUID(made.data["task"]["id"]), made.data["asked"]
    if asked.get("stream"):
        return _stream(made.data, is_attended=not asked.get("background"))
    if asked.get("background"):
        return JsonResponse(made.data["response"], headers=headers(task_id))
    async with attended(task_id):
        return whole(task_id, await end_of(task_id), partial(response_answers.response, asked=asked))


@stands_for(OneResponse)
async def one_response(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Answer with a response, its stream from any place on, or delete it."""
    found: Any = await in_thread(_one, request, response_id=response_id)
    answer: HttpResponseBase = found
    return _stream(found.data, is_attended=False) if found.status_code == 202 else answer


@stands_for(CancelResponse)
async def cancel_response(request: HttpRequest, response_id: str) -> HttpResponseBase:
    """Stop a response and answer with it, as soon as its provider is stopped."""
    found: Any = await in_thread(_cancel, request, response_id=response_id)
    if found.status_code != 202:
        refusal: HttpResponseBase = found
        return refusal
    task_id = UUID(found.data["task"]["id"])
    try:
        async with asyncio.timeout(STOPPED_WITHIN_SECONDS):
            task = await end_of(task_id)
    except TimeoutError:
        task = await in_thread(_read, task_id)
    return JsonResponse(response_answers.response(task, found.data["asked"]), headers=headers(task_id))


def _read(task_id: UUID) -> dict[str, Any]:
    return task_json(AIGenerationTask.objects.get(pk=task_id))


def _stream(made: dict[str, Any], *, is_attended: bool) -> HttpResponseBase:
    task_id = UUID(made["task"]["id"])
    frames = _frames(task_id, Events(made["task"], made["asked"], made["after"]), is_attended=is_attended)
    return StreamingHttpResponse(frames, content_type="text/event-stream", headers=STREAM_HEADERS | headers(task_id))


async def _frames(task_id: UUID, events: Events, *, is_attended: bool) -> AsyncIterator[bytes]:
    async with AsyncExitStack() as stack:
        if is_attended:
            await stack.enter_async_context(attended(task_id))
        told = await stack.enter_async_context(aclosing(closable(follow(task_id))))
        async for event in await stack.enter_async_context(aclosing(with_silence(told, PING_SECONDS))):
            if event is None:
                yield b": ping\n\n"
                continue
            for made in events.of(event):
                yield f"event: {made['type']}\n".encode() + data(made)
            if events.is_over:
                return
