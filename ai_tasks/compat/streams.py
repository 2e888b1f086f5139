"""
The answers of /v1 that wait for their task.

A client that leaves before the end wants no answer any more: its task is cancelled, after some seconds in which it may
come back with the same Idempotency-Key.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from ai_tasks import submission
from ai_tasks.api.streams import PING_SECONDS, STREAM_HEADERS, closable, stands_for, with_silence
from ai_tasks.compat import chat_answers, embeddings, errors
from ai_tasks.compat.chat_answers import Broken, Chunks
from ai_tasks.compat.views import ChatCompletions, Embeddings
from ai_tasks.delivery import TaskEvent, end_of, follow, in_thread
from ai_tasks.models import AIGenerationTask

LEFT_SECONDS = 5.0
"""How long a task goes on after its client has left."""

_create_chat = ChatCompletions.as_view()
_create_embeddings = Embeddings.as_view()
_waiting: Counter[UUID] = Counter()
_leaving: set[asyncio.Task[None]] = set()


@stands_for(ChatCompletions)
async def chat_completions(request: HttpRequest) -> HttpResponseBase:
    """Create a task and answer with its end, or stream it."""
    made: Any = await in_thread(_create_chat, request)
    if made.status_code != 202:
        refusal: HttpResponseBase = made
        return refusal
    task_id = made.data["task_id"]
    if made.data["stream"]:
        return await _streamed(task_id, Chunks(made.data["task"], include_usage=made.data["include_usage"]))
    async with attended(task_id):
        return whole(task_id, await end_of(task_id), chat_answers.completion)


@stands_for(Embeddings)
async def create_embeddings(request: HttpRequest) -> HttpResponseBase:
    """Create a task and answer with its vectors."""
    made: Any = await in_thread(_create_embeddings, request)
    if made.status_code != 202:
        refusal: HttpResponseBase = made
        return refusal
    async with attended(made.data["task_id"]):
        task = await end_of(made.data["task_id"])
    shape = partial(embeddings.answer, encoding_format=made.data["encoding_format"])
    return whole(made.data["task_id"], task, shape)


def whole(task_id: UUID, task: dict[str, Any], shape: Callable[[dict[str, Any]], Any]) -> HttpResponseBase:
    """Answer with an ended task: in that shape when it has completed, else as an error."""
    if task["status"] == "completed":
        return JsonResponse(shape(task), headers=headers(task_id))
    status, body = errors.of_task(task)
    return JsonResponse(body, status=status, headers=headers(task_id) | {"X-Should-Retry": "false"})


def headers(task_id: UUID) -> dict[str, str]:
    """Name the task; a client must not try again what was tried again here."""
    return {"X-Tasuki-Task": str(task_id)}


async def _streamed(task_id: UUID, chunks: Chunks) -> HttpResponseBase:
    """Answer with a stream; a task that fails before anything was to be sent is answered with its status."""
    events = _told(task_id)
    seen: list[TaskEvent | None] = []
    try:
        async for event in events:
            seen.append(event)
            if event is None or event.name != "task.updated" or event.data["finished_at"]:
                break
    except BaseException:
        await events.aclose()
        raise
    last = seen[-1]
    if last and last.name == "task.updated" and last.data["status"] != "completed":
        await events.aclose()
        return whole(task_id, last.data, chat_answers.completion)
    frames = _frames(task_id, seen, events, chunks)
    return StreamingHttpResponse(frames, content_type="text/event-stream", headers=STREAM_HEADERS | headers(task_id))


async def _told(task_id: UUID) -> Any:
    """Yield the task's events, and None in long silences; who stops listening before the end has left."""
    async with (
        attended(task_id),
        aclosing(closable(follow(task_id))) as events,
        aclosing(with_silence(events, PING_SECONDS)) as told,
    ):
        async for event in told:
            yield event


async def _frames(task_id: UUID, seen: list[TaskEvent | None], events: Any, chunks: Chunks) -> AsyncIterator[bytes]:
    try:
        async with aclosing(events):
            for event in seen:
                for frame in _frame(event, chunks):
                    yield frame
            async for event in events:
                for frame in _frame(event, chunks):
                    yield frame
    except Broken:
        yield data(errors.document("The provider failed in the middle of the answer.", errors.SERVER, "stream_cut"))
        return
    yield b"data: [DONE]\n\n"


def _frame(event: TaskEvent | None, chunks: Chunks) -> Iterator[bytes]:
    if event is None:
        yield b": ping\n\n"
    else:
        for chunk in chunks.of(event):
            yield data(chunk)


def data(chunk: dict[str, Any]) -> bytes:
    """Return the data line of a server-sent event."""
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()


@asynccontextmanager
async def attended(task_id: UUID) -> AsyncIterator[None]:
    """Cancel the task, soon, if its client leaves in between; a task that has ended takes no notice."""
    _waiting[task_id] += 1
    is_over = False
    try:
        yield
        is_over = True
    finally:
        _waiting[task_id] -= 1
        if not _waiting[task_id]:
            del _waiting[task_id]
            if not is_over:
                leaving = asyncio.get_running_loop().create_task(_leave(task_id))
                _leaving.add(leaving)
                leaving.add_done_callback(_leaving.discard)


async def _leave(task_id: UUID) -> None:
    await asyncio.sleep(LEFT_SECONDS)
    if task_id not in _waiting:
        await in_thread(_cancel, task_id)


def _cancel(task_id: UUID) -> None:
    if task := AIGenerationTask.objects.find_by_id(task_id):
        submission.cancel(task)
