"""What a WebSocket takes."""

from typing import Any

import pytest

from tests.ai_tasks.sockets.wire import closing_code, hear, socket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"subscribe"',
        "{}",
        '{"type": 5}',
        '{"type": "nothing"}',
        '{"type": "__class__"}',
        '{"type": "close"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "task_id": 5}',
        '{"type": "subscribe", "task_id": ["a"]}',
        '{"type": "subscribe", "mine": "yes"}',
        '{"type": "subscribe", "mine": true, "after": 5}',
        '{"type": "subscribe", "mine": true, "task_id": "x"}',
        '{"type": "subscribe", "task_id": "x", "after": -1}',
        '{"type": "subscribe", "task_id": "x", "after": true}',
        '{"type": "subscribe", "task_id": "x", "after": 9999999999}',
        '{"type": "subscribe", "task_id": "x", "other": 1}',
        '{"type": "subscribe", "task_id": "\\u0000"}',
        '{"type": "subscribe", "task_id": "\\ud800"}',
        '{"type": "subscribe", "task_id": NaN}',
        '{"type": "unsubscribe"}',
        "[" * 20_000,
        '{"type":' * 5_000,
    ],
)
async def test_a_bad_frame_is_answered_and_the_socket_stays(bearer: Any, text: str) -> None:
    async with socket(bearer) as alices:
        await alices.send_input({"type": "websocket.receive", "text": text})
        answer = await hear(alices)
        await alices.send_json_to({"type": "ping"})

        assert (answer["type"], answer["code"]) == ("error", "invalid_input")
        assert answer["detail"]
        assert await hear(alices) == {"type": "pong"}


async def test_a_binary_frame_is_answered(bearer: Any) -> None:
    async with socket(bearer) as alices:
        await alices.send_to(bytes_data=b"\x00\xff")

        assert (await hear(alices))["code"] == "invalid_input"


async def test_a_frame_over_64_kib_closes_with_1009(bearer: Any) -> None:
    async with socket(bearer) as alices:
        await alices.send_to(text_data="あ" * 22_000)

        assert await closing_code(alices) == 1009


async def test_a_flood_closes_with_1008(bearer: Any) -> None:
    async with socket(bearer) as alices:
        for _ in range(80):
            await alices.send_to(text_data='{"type": "ping"}')

        assert await closing_code(alices) == 1008
        assert await alices.receive_nothing(0.1)
