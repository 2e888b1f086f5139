"""What /ws/operations/ tells, and whom."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from ai_tasks import breaker, clock
from ai_tasks.access import keys
from ai_tasks.ops import alerts
from tests.ai_tasks.ops.people import in_role
from tests.ai_tasks.sockets.wire import SECONDS, closing_code, is_refused, socket
from tests.ai_tasks.threads import apart
from tests.engine import text_task
from tests.realtime import check

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

PATH = "/ws/operations/"


@pytest.fixture
def carol(db: None) -> User:
    """A viewer."""
    return in_role("viewer")


def bearer_of(user: User, **options: Any) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {keys.create(user, 'test', **options)[1]}".encode())]


async def hear_until(heard: WebsocketCommunicator, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    while not frames or not is_last(frames[-1]):
        frames.append(check("operations", json.loads(await heard.receive_from(SECONDS))))
    return frames


def is_ready(frame: dict[str, Any]) -> bool:
    return bool(frame["type"] == "ready")


async def test_all_is_told_at_first_and_then_what_changes(carol: User, alice: User) -> None:
    await apart(lambda: text_task(alice, now=clock.now()))
    headers = await apart(bearer_of, carol)

    async with socket(headers, PATH) as carols:
        first = await hear_until(carols, is_ready)
        await apart(lambda: breaker.set_mode("simulator", "", "forced_open", clock.now()))
        moved = await hear_until(carols, lambda frame: frame["type"] == "circuit.updated")
        await apart(lambda: alerts.sweep(clock.now()))
        raised = await hear_until(
            carols, lambda frame: frame["type"] == "alert.raised" and frame["alert"]["kind"] == "circuit_open"
        )
        await apart(lambda: breaker.set_mode("simulator", "", "forced_closed", clock.now()))
        await apart(lambda: alerts.sweep(clock.now()))
        cleared = await hear_until(carols, lambda frame: frame["type"] == "alert.cleared")

    assert [frame["queue"]["waiting"] for frame in first if frame["type"] == "queue.updated"] == [1]
    assert moved[-1]["circuit"]["mode"] == "forced_open"
    assert raised[-1]["alert"]["key"] == "simulator"
    assert cleared[-1]["alert"]["id"] == raised[-1]["alert"]["id"]
    assert cleared[-1]["alert"]["cleared_at"] is not None


async def test_a_ping_is_answered_and_anything_else_refused(carol: User) -> None:
    headers = await apart(bearer_of, carol)

    async with socket(headers, PATH) as carols:
        await carols.send_json_to({"type": "ping"})
        await hear_until(carols, lambda frame: frame["type"] == "pong")
        await carols.send_json_to({"type": "pause", "provider": "simulator"})
        refused = await hear_until(carols, lambda frame: frame["type"] == "error")

    assert refused[-1]["code"] == "invalid_input"


async def test_it_is_for_the_staff_with_the_permission(alice: User) -> None:
    headers = await apart(bearer_of, alice)
    async with socket(headers, PATH) as alices:
        assert await closing_code(alices) == 4403

    await User.objects.filter(pk=alice.pk).aupdate(is_staff=True)
    async with socket(headers, PATH) as alices:
        assert await closing_code(alices) == 4403


async def test_who_is_staff_no_more_is_shut_out(carol: User) -> None:
    headers = await apart(bearer_of, carol)

    async with socket(headers, PATH) as carols:
        await hear_until(carols, is_ready)
        await User.objects.filter(pk=carol.pk).aupdate(is_staff=False)
        assert await closing_code(carols) == 4403


async def test_a_key_needs_the_scope_and_a_page_must_be_ours(carol: User) -> None:
    headers = await apart(bearer_of, carol, scopes=["tasks"])

    async with socket(headers, PATH) as carols:
        assert await closing_code(carols) == 4401
    async with socket([], PATH) as nobodys:
        assert await closing_code(nobodys) == 4401
    assert await is_refused([(b"host", b"testserver"), (b"origin", b"https://evil.example")], PATH)
