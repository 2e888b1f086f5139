"""What /ws/tasks/ tells."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from ai_tasks import clock
from ai_tasks.consumers import TaskSocket
from ai_tasks.ids import uuid7
from ai_tasks.models import AIGenerationTask
from tests import engine
from tests.ai_tasks.sockets.wire import TEXT, has_ended, hear, hear_until, socket, submit
from tests.ai_tasks.threads import apart

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


async def test_subscribe_follows_a_task_to_its_end(alice: User, bearer: Any) -> None:
    task = await apart(submit, alice)

    async with socket(bearer) as alices:
        await alices.send_json_to({"type": "subscribe", "task_id": str(task.pk)})
        first = await hear(alices)
        running = asyncio.create_task(apart(engine.run_admitted))
        frames = [first, *await hear_until(alices, has_ended)]
        await running

    deltas = [frame for frame in frames if frame["type"] == "task.delta"]
    assert (first["type"], first["task"]["status"]) == ("task.updated", "pending")
    assert all(frame["task_id"] == str(task.pk) for frame in frames)
    assert "".join(delta["text"] for delta in deltas) == TEXT
    assert [delta["seq"] for delta in deltas] == list(range(1, len(deltas) + 1))


async def test_subscribe_resumes_after_a_seq(alice: User, bearer: Any) -> None:
    task = await apart(submit, alice)
    await apart(engine.run_admitted)

    async with socket(bearer) as alices:
        await alices.send_json_to({"type": "subscribe", "task_id": str(task.pk)})
        whole = await hear_until(alices, has_ended)
        await alices.send_json_to({"type": "subscribe", "task_id": str(task.pk).upper(), "after": 3})
        rest = await hear_until(alices, has_ended)

    assert rest[:-1] == [frame for frame in whole if frame["type"] == "task.delta"][3:]


async def test_mine_tells_the_moves_of_all_own_tasks_and_of_no_others(alice: User, bob: User, bearer: Any) -> None:
    async with socket(bearer) as alices:
        await alices.send_json_to({"type": "subscribe", "mine": True})
        await alices.send_json_to({"type": "ping"})
        await hear_until(alices, lambda frame: frame["type"] == "pong")
        await asyncio.sleep(0.1)
        await apart(submit, bob)
        task = await apart(submit, alice)

        frame = await hear(alices)

    assert (frame["type"], frame["task_id"]) == ("task.updated", str(task.pk))
    assert frame["task"]["status"] == "pending"


async def test_mine_finds_moves_that_no_hint_told_of(
    alice: User, bob: User, bearer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskSocket, "look_seconds", 0.05)
    old = await apart(submit, alice)
    moved = AIGenerationTask.objects.filter(pk=old.pk)
    lost_hint = {"cancel_requested_at": clock.now(), "updated_at": clock.now()}

    async with socket(bearer) as alices:
        await alices.send_json_to({"type": "subscribe", "mine": True})
        assert await alices.receive_nothing(0.3)
        await apart(lambda: moved.update(**lost_hint))
        first = await hear(alices)
        await apart(copy_unseen, old, alice)
        await apart(copy_unseen, old, bob)
        second = await hear(alices)
        assert await alices.receive_nothing(0.3)

    assert first["task_id"] == str(old.pk)
    assert first["task"]["cancel_requested_at"]
    assert second["task_id"] != str(old.pk)


def copy_unseen(task: AIGenerationTask, owner: User) -> None:
    """Make a task of which nobody tells."""
    fields = {field.attname: getattr(task, field.attname) for field in task._meta.concrete_fields}
    AIGenerationTask.objects.bulk_create([AIGenerationTask(**fields | {"id": uuid7(), "owner_id": owner.pk})])


async def test_unsubscribe_ends_the_telling(alice: User, bearer: Any) -> None:
    task = await apart(submit, alice)

    async with socket(bearer) as alices:
        await alices.send_json_to({"type": "subscribe", "task_id": str(task.pk)})
        await hear(alices)
        await alices.send_json_to({"type": "unsubscribe", "task_id": str(task.pk)})
        await alices.send_json_to({"type": "ping"})
        assert await hear(alices) == {"type": "pong"}
        await apart(engine.run_admitted)

        assert await alices.receive_nothing(0.3)


@pytest.mark.parametrize("garbage", ["", "x", "0" * 36, "../etc", "{" * 1000])
async def test_somebody_elses_task_is_as_missing_as_nothing(alice: User, bob: User, bearer: Any, garbage: str) -> None:
    theirs = await apart(submit, bob)

    async with socket(bearer) as alices:
        answers = []
        for task_id in (str(theirs.pk), str(uuid4()), garbage):
            await alices.send_json_to({"type": "subscribe", "task_id": task_id})
            answers.append(await hear(alices))

    assert answers == [{"type": "error", "code": "not_found", "detail": "There is no such task."}] * 3


async def test_at_most_a_hundred_subscriptions(alice: User, bearer: Any) -> None:
    tasks = await apart(lambda: [submit(alice) for _ in range(101)])

    async with socket(bearer) as alices:
        for place, task in enumerate(tasks):
            await alices.send_json_to({"type": "subscribe", "task_id": str(task.pk)})
            if place >= 45:
                await asyncio.sleep(0.11)  # more would be a flood
        frames = await hear_until(alices, lambda frame: frame["type"] == "error")

    assert frames[-1]["code"] == "rate_limited"
    assert len({frame["task_id"] for frame in frames[:-1]}) <= 100
