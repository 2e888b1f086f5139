"""GET /api/v1/tasks/{id}/events."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from django.contrib.auth.models import User

from ai_tasks import submission
from ai_tasks.api import streams
from ai_tasks.delivery import TaskEvent
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest
from tests import engine
from tests.ai_tasks.api.asgi import exchange
from tests.ai_tasks.threads import apart

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

TEXT = "The Shinano is the longest river of Japan."


@pytest.fixture
def task(alice: User) -> AIGenerationTask:
    """Return a waiting task of alice's."""
    simulate = {"text": TEXT, "latency_ms": 0, "tokens_per_second": 100}
    return submission.submit(
        alice, TaskRequest(type="text.generate", input={"prompt": "Name a river.", "simulate": simulate})
    )


def path_of(task: AIGenerationTask) -> str:
    return f"/api/v1/tasks/{task.pk}/events"


async def read(task: AIGenerationTask, headers: dict[str, str], query: str = "") -> list[dict[str, str]]:
    async with exchange("GET", path_of(task), headers, query=query) as stream:
        assert stream.status == 200
        return [frame async for frame in stream.frames()]


def text_of(frames: list[dict[str, str]]) -> str:
    return "".join(json.loads(frame["data"])["text"] for frame in frames if frame.get("event") == "task.delta")


async def test_a_stream_tells_all_from_waiting_to_completed(task: AIGenerationTask, headers: dict[str, str]) -> None:
    async with exchange("GET", path_of(task), headers) as stream:
        arriving = stream.frames()
        frames = [await anext(arriving)]
        running = asyncio.create_task(apart(engine.run_admitted))
        frames += [frame async for frame in arriving]
        await running

    states = [json.loads(frame["data"])["status"] for frame in frames if frame["event"] == "task.updated"]
    seqs = [int(frame["id"]) for frame in frames if frame["event"] == "task.delta"]
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-cache"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.headers["x-request-id"]
    assert (states[0], states[-1]) == ("pending", "completed")
    assert frames[-1]["event"] == "task.updated"
    assert text_of(frames) == TEXT
    assert seqs == list(range(1, len(seqs) + 1))
    assert all("id" not in frame for frame in frames if frame["event"] == "task.updated")


@pytest.mark.parametrize("way", ["Last-Event-ID", "after", "both"])
async def test_a_stream_resumes_byte_identical(task: AIGenerationTask, headers: dict[str, str], way: str) -> None:
    await apart(engine.run_admitted)
    whole = [frame for frame in await read(task, headers) if frame["event"] == "task.delta"]
    place = len(whole) // 2
    more = {} if way == "after" else {"Last-Event-ID": str(place)}
    query = {"Last-Event-ID": "", "after": f"after={place}", "both": "after=0"}[way]

    rest = [frame for frame in await read(task, headers | more, query) if frame["event"] == "task.delta"]

    assert rest == whole[place:]


async def test_a_stream_of_an_ended_task_ends(task: AIGenerationTask, headers: dict[str, str]) -> None:
    await apart(submission.cancel, task)

    frames = await read(task, headers)

    assert [json.loads(frame["data"])["status"] for frame in frames] == ["cancelled"]


async def test_silence_is_filled_with_comments() -> None:
    event = TaskEvent("task.updated", {})

    async def silent() -> AsyncGenerator[TaskEvent, None]:
        await asyncio.sleep(0.05)
        yield event

    heard = [each async for each in streams.with_silence(silent(), 0.02)]

    assert heard[0] is None
    assert heard[-1] == event


async def test_a_reader_that_leaves_is_let_go(task: AIGenerationTask, headers: dict[str, str]) -> None:
    async with exchange("GET", path_of(task), headers) as stream:
        first = await anext(aiter(stream.frames()))

    assert first["event"] == "task.updated"
