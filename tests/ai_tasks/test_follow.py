"""delivery.follow: nothing is skipped or told twice, whatever hints are lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.db import connections

from ai_tasks import chunks, completing, delivery, events
from ai_tasks.chunks import Piece
from ai_tasks.completing import Answered
from ai_tasks.delivery import TaskEvent, follow
from ai_tasks.models import AIGenerationTask
from providers.errors import Unavailable
from queueing.models import QueueEntry
from tests.engine import answer, at, claimed, text_task

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]
tasks = AIGenerationTask.objects
TEXT = "The river Rhine."


@pytest.fixture(autouse=True)
def _in_memory(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}
    }


@pytest.fixture
def writer() -> Iterator[Callable[..., Awaitable[Any]]]:
    """Return a way to run database code in one other thread, which closes its connection at the end."""
    with ThreadPoolExecutor(1) as executor:

        async def write(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(executor, lambda: function(*args, **kwargs))

        yield write
        executor.submit(connections.close_all).result()


def pieces_of(text: str, start: int = 1, epoch: int = 1) -> list[Piece]:
    return [Piece(start + place, epoch, "text", word) for place, word in enumerate(text)]


def texts(told: list[TaskEvent]) -> str:
    """Return the texts of all deltas after the last reset."""
    kept: list[str] = []
    for event in told:
        kept = [] if event.name == "task.reset" else [*kept, event.data.get("text", "")]
    return "".join(kept)


def numbers(told: list[TaskEvent]) -> list[int]:
    return [event.seq for event in told if event.seq is not None]


async def collect(source: AsyncIterator[TaskEvent], *, until: int | None = None) -> list[TaskEvent]:
    """Read to the end, or until so many events came; ten seconds at most."""
    told: list[TaskEvent] = []
    async with asyncio.timeout(10), aclosing(source) as followed:  # type: ignore[type-var]
        async for event in followed:
            told.append(event)
            if len(told) == until:
                break
    return told


@pytest.fixture
def task(alice: User) -> AIGenerationTask:
    text_task(alice)
    found: AIGenerationTask = claimed().task
    return found


def end(task: AIGenerationTask, pieces: list[Piece] = [], seconds: float = 5) -> None:  # noqa: B006
    assert completing.complete(tasks.all(), Answered(task.pk, 1, answer(TEXT), pieces), at(seconds))


def test_an_ended_task_tells_everything_and_its_end_last(task: AIGenerationTask) -> None:
    end(task, pieces_of(TEXT))

    told = asyncio.run(collect(follow(task.pk)))

    assert texts(told) == TEXT
    assert (told[-1].name, told[-1].data["status"]) == ("task.updated", "completed")
    assert [event.name for event in told].count("task.updated") == 1


@pytest.mark.parametrize("after", [0, 1, 7, len(TEXT) - 1, len(TEXT), 10_000])
def test_who_comes_back_gets_the_rest_byte_for_byte(task: AIGenerationTask, after: int) -> None:
    end(task, pieces_of(TEXT))

    assert texts(asyncio.run(collect(follow(task.pk, after)))) == TEXT[after:]


def test_a_reader_across_the_fold_sees_no_gap_and_nothing_twice(
    task: AIGenerationTask, writer: Callable[..., Awaitable[Any]]
) -> None:
    async def scene() -> list[TaskEvent]:
        events.use_loop(asyncio.get_running_loop())
        reading = asyncio.create_task(collect(follow(task.pk)))
        half = pieces_of(TEXT)[:8]
        for piece in half:
            await writer(chunks.write, task, [piece])
            events.send_chunks(task.pk, [piece])
        await writer(end, task, pieces_of(TEXT)[8:])
        return await reading

    told = asyncio.run(scene())

    assert texts(told) == TEXT
    assert numbers(told) == list(range(1, len(TEXT) + 1))
    assert told[-1].data["status"] == "completed"


def test_lost_hints_cost_time_only(task: AIGenerationTask, writer: Callable[..., Awaitable[Any]]) -> None:
    async def scene() -> list[TaskEvent]:
        reading = asyncio.create_task(collect(follow(task.pk)))
        await asyncio.sleep(0)
        await writer(chunks.write, task, pieces_of(TEXT)[:8])
        await writer(end, task, pieces_of(TEXT)[8:])
        return await reading

    assert texts(asyncio.run(scene())) == TEXT


def test_a_hint_out_of_order_leads_to_the_database(
    task: AIGenerationTask, writer: Callable[..., Awaitable[Any]]
) -> None:
    async def scene() -> list[TaskEvent]:
        events.use_loop(asyncio.get_running_loop())
        reading = asyncio.create_task(collect(follow(task.pk)))
        written = pieces_of(TEXT)
        await writer(chunks.write, task, written)
        for piece in (written[9], written[2], written[2], written[15]):
            events.send_chunks(task.pk, [piece])
        await writer(end, task)
        return await reading

    told = asyncio.run(scene())

    assert numbers(told) == list(range(1, len(TEXT) + 1))
    assert texts(told) == TEXT


def test_a_reader_far_behind_is_told_to_read_and_misses_nothing(
    task: AIGenerationTask, writer: Callable[..., Awaitable[Any]]
) -> None:
    many = [Piece(number, 1, "text", "x") for number in range(1, delivery.BACKLOG * 2)]

    async def scene() -> list[TaskEvent]:
        events.use_loop(asyncio.get_running_loop())
        async with asyncio.timeout(20), aclosing(follow(task.pk)) as followed:  # type: ignore[type-var]
            told = [await anext(followed)]
            await writer(chunks.write, task, many)
            layer = get_channel_layer()
            for piece in many:
                hint = {"name": "task.chunks", "chunks": [piece], "groups": [events.group_for_task(task.pk)]}
                await layer.group_send(events.group_for_task(task.pk), {"type": events.MESSAGE_TYPE, "event": hint})
                await asyncio.sleep(0)
            await writer(end, task)
            async for event in followed:
                told.append(event)
            return told

    told = asyncio.run(scene())

    assert numbers(told) == list(range(1, delivery.BACKLOG * 2))
    assert told[-1].data["status"] == "completed"


def test_a_restart_is_told_and_the_numbers_go_on(alice: User) -> None:
    task = text_task(alice)
    first = claimed()
    chunks.write(task, pieces_of("void"))
    tasks.fail(task.pk, first.epoch, Unavailable(), now=at(1))
    second = claimed(now=at(70))
    rest = pieces_of(TEXT, start=second.next_seq, epoch=2)
    completing.complete(tasks.all(), Answered(task.pk, 2, answer(TEXT), rest), at(71))

    told = asyncio.run(collect(follow(task.pk)))

    (reset,) = [event for event in told if event.name == "task.reset"]
    assert (reset.data["attempt"], reset.data["reason"], reset.seq) == (2, "unavailable", 5)
    assert texts(told) == TEXT
    assert numbers(told) == list(range(1, 6 + len(TEXT)))


def test_many_readers_of_one_task_each_see_everything(
    task: AIGenerationTask, writer: Callable[..., Awaitable[Any]]
) -> None:
    async def scene() -> list[list[TaskEvent]]:
        events.use_loop(asyncio.get_running_loop())
        reading = [asyncio.create_task(collect(follow(task.pk, after))) for after in (0, 0, 3, 9)]
        for piece in pieces_of(TEXT):
            await writer(chunks.write, task, [piece])
            events.send_chunks(task.pk, [piece])
        await writer(end, task)
        return await asyncio.gather(*reading)

    told = asyncio.run(scene())

    assert [texts(each) for each in told] == [TEXT, TEXT, TEXT[3:], TEXT[9:]]


def test_a_reader_that_leaves_leaves_nothing_behind(task: AIGenerationTask) -> None:
    async def scene() -> dict[str, Any]:
        await collect(follow(task.pk), until=1)
        groups: dict[str, Any] = get_channel_layer().groups
        return groups

    assert not asyncio.run(scene())
    assert QueueEntry.objects.count() == 1


async def ended_in_time(task: AIGenerationTask) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return await delivery.end_of(task.pk)


def test_who_waits_for_the_end_is_told_that_alone(
    task: AIGenerationTask, writer: Callable[..., Awaitable[Any]]
) -> None:
    async def scene() -> tuple[bool, dict[str, Any]]:
        events.use_loop(asyncio.get_running_loop())
        waiting = asyncio.create_task(ended_in_time(task))
        for piece in pieces_of(TEXT)[:8]:
            await writer(chunks.write, task, [piece])
            await writer(events.send_chunks, task.pk, [tuple(piece)])
        is_early = waiting.done()
        await writer(end, task, pieces_of(TEXT)[8:])
        return is_early, await waiting

    is_early, state = asyncio.run(scene())

    assert not is_early
    assert (state["status"], state["output"]["text"]) == ("completed", TEXT)


def test_who_waits_for_an_end_that_was_gets_it_at_once(task: AIGenerationTask) -> None:
    end(task)

    assert asyncio.run(ended_in_time(task))["status"] == "completed"


def test_who_waits_for_the_end_finds_it_where_every_hint_is_lost(
    task: AIGenerationTask, writer: Callable[..., Awaitable[Any]]
) -> None:
    async def scene() -> dict[str, Any]:
        waiting = asyncio.create_task(ended_in_time(task))
        await asyncio.sleep(0)
        await writer(end, task, pieces_of(TEXT))  # nobody told the publisher which loop is listened on
        return await waiting

    assert asyncio.run(scene())["status"] == "completed"
