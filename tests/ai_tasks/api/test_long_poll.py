"""POST /api/v1/tasks?wait=."""

import asyncio
import time
from typing import Any

import pytest

from ai_tasks.models import AIGenerationTask
from tests import engine
from tests.ai_tasks.api.asgi import exchange
from tests.ai_tasks.threads import apart

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

QUICK = {"type": "text.generate", "input": {"prompt": "a", "simulate": {"text": "b", "latency_ms": 0}}}


async def run_when_there() -> None:
    while not await apart(engine.run_admitted):
        await asyncio.sleep(0.01)


async def test_waiting_answers_as_soon_as_the_task_has_ended(headers: dict[str, str]) -> None:
    running = asyncio.create_task(run_when_there())
    began = time.monotonic()

    async with exchange("POST", "/api/v1/tasks", headers, QUICK, "wait=30") as sent:
        task = await sent.json()
    await running

    assert sent.status == 202
    assert sent.headers["location"] == f"/api/v1/tasks/{task['id']}"
    assert (task["status"], task["output"]["text"]) == ("completed", "b")
    assert time.monotonic() - began < 10


async def test_when_the_time_is_over_the_task_is_shown_as_it_is(headers: dict[str, str]) -> None:
    async with exchange("POST", "/api/v1/tasks", headers, QUICK, "wait=1") as sent:
        task = await sent.json()

    assert (sent.status, task["status"]) == (202, "pending")


async def test_a_refusal_is_not_waited_for(headers: dict[str, str]) -> None:
    async with exchange("POST", "/api/v1/tasks", headers, {"type": "nothing", "input": {}}, "wait=30") as sent:
        problem = await sent.json()

    assert (sent.status, problem["code"]) == (422, "unknown_task_type")


async def test_without_a_key_nothing_is_waited_for() -> None:
    async with exchange("POST", "/api/v1/tasks", {}, QUICK, "wait=30") as sent:
        problem = await sent.json()

    assert (sent.status, problem["code"]) == (401, "not_authenticated")
    assert not await apart(AIGenerationTask.objects.exists)


async def test_a_replay_waits_as_well(headers: dict[str, str]) -> None:
    more: dict[str, Any] = headers | {"Idempotency-Key": "once"}
    async with exchange("POST", "/api/v1/tasks", more, QUICK) as sent:
        first = await sent.json()
    running = asyncio.create_task(run_when_there())

    async with exchange("POST", "/api/v1/tasks", more, QUICK, "wait=30") as again:
        task = await again.json()
    await running

    assert (task["id"], task["status"]) == (first["id"], "completed")
    assert again.headers["idempotency-replayed"] == "true"
