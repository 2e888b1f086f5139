"""
The two answers that wait: the event stream and the long poll.

Plain async views. What they ask before (who is calling, may they) is REST framework's view, run in a thread whose
connection goes back; while they wait they hold neither.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework.views import APIView

from ai_tasks.api.views import TaskCollection, TaskEvents, wait_seconds
from ai_tasks.delivery import TaskEvent, end_of, follow, in_thread
from ai_tasks.errors import InvalidInput
from ai_tasks.models import AIGenerationTask
from ai_tasks.representation import task_json

PING_SECONDS = 15.0
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

_collection = TaskCollection.as_view()
_events = TaskEvents.as_view()


def stands_for(view: type[APIView]) -> Callable[[Any], Any]:
    """Mark an async view as the front of a REST framework view: described as it is, and like it exempt from CSRF."""

    def mark(function: Any) -> Any:
        function.cls = view
        function.initkwargs = {}
        return csrf_exempt(function)

    return mark


@stands_for(TaskCollection)
async def task_collection(request: HttpRequest) -> HttpResponseBase:
    """List or create; with `?wait=` answer when the created task has ended, or the time is over."""
    seconds = _wait(request)
    if not seconds:
        response: HttpResponseBase = await sync_to_async(_collection)(request)
        return response
    answer = await in_thread(_collection, request)
    if answer.status_code == 202:
        answer.data = await _when_ended(UUID(answer.data["id"]), seconds)
    return answer


def _wait(request: HttpRequest) -> int:
    """The view itself refuses what is no number."""
    if request.method != "POST":
        return 0
    try:
        return wait_seconds(request.GET.get("wait", "0"))
    except InvalidInput:
        return 0


async def _when_ended(task_id: UUID, seconds: int) -> dict[str, Any]:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await end_of(task_id)
    return await in_thread(_task_json, task_id)


def _task_json(task_id: UUID) -> dict[str, Any]:
    return task_json(AIGenerationTask.objects.get(pk=task_id))


@stands_for(TaskEvents)
async def task_events(request: HttpRequest, task_id: str) -> HttpResponseBase:
    """Stream a task's events until it has ended."""
    answer: Any = await in_thread(_events, request, task_id=task_id)
    if answer.status_code != 200 or request.method != "GET":
        refusal: HttpResponseBase = answer
        return refusal
    frames = _frames(answer.data["task_id"], answer.data["after"])
    return StreamingHttpResponse(frames, content_type="text/event-stream", headers=STREAM_HEADERS)


async def _frames(task_id: UUID, after: int) -> AsyncIterator[bytes]:
    async with (
        aclosing(closable(follow(task_id, after))) as events,
        aclosing(with_silence(events, PING_SECONDS)) as told,
    ):
        async for event in told:
            yield b": ping\n\n" if event is None else _frame(event)


def _frame(event: TaskEvent) -> bytes:
    """A `task.updated` has no id: it is a state, told anew on every connection, and not a place in the stream."""
    place = "" if event.seq is None else f"id: {event.seq}\n"
    return f"{place}event: {event.name}\ndata: {json.dumps(event.data, ensure_ascii=False)}\n\n".encode()


async def with_silence(
    events: AsyncGenerator[TaskEvent, None], seconds: float
) -> AsyncGenerator[TaskEvent | None, None]:
    """Yield the events, and None whenever none came for so long."""
    coming = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=seconds)
            if not done:
                yield None
                continue
            event = coming.result()
            if event is None:
                return
            yield event
            coming = asyncio.ensure_future(anext(events, None))
    finally:
        # The generator must stand still before it can be closed.
        coming.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await coming


def closable(events: AsyncIterator[TaskEvent]) -> AsyncGenerator[TaskEvent, None]:
    """Say what an async generator function returns: it can be closed."""
    return events  # type: ignore[return-value]
