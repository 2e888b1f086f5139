"""The WebSocket /ws/tasks/, and what every socket of ours does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks import clock, submission
from ai_tasks.access import keys, tickets
from ai_tasks.access.models import ApiKey
from ai_tasks.consumers import TaskSocket
from ai_tasks.models import AIGenerationTask
from ai_tasks.sockets import SocketAccess
from ai_tasks.submission import TaskRequest
from config.asgi import application
from providers import control
from tests.ai_tasks import engine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

HOST = [(b"host", b"testserver")]
TEXT = "The Shinano is the longest river of Japan."
SECONDS = 10


@pytest.fixture(autouse=True)
def _providers(transactional_db: None, settings: Any) -> None:
    settings.AI_DISPATCHER = False
    settings.ALLOWED_HOSTS = ["testserver"]
    control.ensure_providers(clock.now())


@pytest.fixture
def alice(transactional_db: None) -> User:
    """Return a user."""
    return User.objects.create_user("alice")


@pytest.fixture
def bob(transactional_db: None) -> User:
    """Return another user."""
    return User.objects.create_user("bob")


@pytest.fixture
def bearer(alice: User) -> list[tuple[bytes, bytes]]:
    """Return the headers of alice's key."""
    return [(b"authorization", f"Bearer {keys.create(alice, 'test')[1]}".encode())]


@pytest.fixture
def cookie(alice: User) -> list[tuple[bytes, bytes]]:
    """Return the headers of alice's session."""
    browser = Client()
    browser.force_login(alice)
    return [(b"cookie", f"sessionid={browser.cookies['sessionid'].value}".encode())]


def submit(owner: User, **options: Any) -> AIGenerationTask:
    simulate = {"text": TEXT, "latency_ms": 0, "tokens_per_second": 100}
    return submission.submit(
        owner, TaskRequest(type="text.generate", input={"prompt": "a", "simulate": simulate}, **options)
    )


@asynccontextmanager
async def socket(headers: list[tuple[bytes, bytes]], path: str = "/ws/tasks/") -> AsyncIterator[WebsocketCommunicator]:
    communicator = WebsocketCommunicator(application, path, headers=HOST + headers)
    accepted, _ = await communicator.connect(SECONDS)
    assert accepted
    try:
        yield communicator
    finally:
        await communicator.disconnect(timeout=SECONDS)


async def hear(communicator: WebsocketCommunicator) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await communicator.receive_from(SECONDS))
    return frame


async def hear_until(
    communicator: WebsocketCommunicator, is_last: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    frames = [await hear(communicator)]
    while not is_last(frames[-1]):
        frames.append(await hear(communicator))
    return frames


def has_ended(frame: dict[str, Any]) -> bool:
    return bool(frame["type"] == "task.updated" and frame["task"]["status"] == "completed")


async def closing_code(communicator: WebsocketCommunicator) -> int:
    while True:
        message = await communicator.receive_output(SECONDS)
        if message["type"] == "websocket.close":
            return int(message["code"])


async def is_refused(headers: list[tuple[bytes, bytes]], path: str = "/ws/tasks/") -> bool:
    communicator = WebsocketCommunicator(application, path, headers=headers)
    accepted, _ = await communicator.connect(SECONDS)
    await communicator.disconnect(timeout=SECONDS)
    return accepted is False


# Who may open one.


async def test_a_bearer_key_opens_a_socket(bearer: Any) -> None:
    async with socket(bearer) as alices:
        await alices.send_json_to({"type": "ping"})

        assert await hear(alices) == {"type": "pong"}


async def test_a_session_opens_a_socket_from_the_sites_own_pages(cookie: Any) -> None:
    async with socket([*cookie, (b"origin", b"http://testserver")]) as alices:
        await alices.send_json_to({"type": "ping"})

        assert await hear(alices) == {"type": "pong"}


async def test_a_trusted_origin_counts_as_the_sites_own(cookie: Any, settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://chat.example.com", "https://*.example.org"]

    for origin in (b"https://chat.example.com", b"https://a.example.org"):
        async with socket([*cookie, (b"origin", origin)]) as alices:
            await alices.send_json_to({"type": "ping"})
            assert await hear(alices) == {"type": "pong"}


@pytest.mark.parametrize(
    "origin",
    [
        b"https://testserver",
        b"http://testserver:8000",
        b"http://testserver.evil.com",
        b"http://evil.com",
        b"null",
        b"",
        b"http://example.org",
    ],
)
async def test_another_origin_ends_the_handshake(cookie: Any, settings: Any, origin: bytes) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://example.org", "https://*.example.org"]

    assert await is_refused([*HOST, *cookie, (b"origin", origin)])


async def test_an_unknown_host_ends_the_handshake(cookie: Any) -> None:
    assert await is_refused([(b"host", b"evil.com"), *cookie, (b"origin", b"http://evil.com")])


async def test_a_ticket_opens_one_socket_from_anywhere(alice: User) -> None:
    ticket = await engine.apart(tickets.issue, alice, datetime.now(UTC))
    path = f"/ws/tasks/?ticket={ticket}"

    async with socket([(b"origin", b"https://elsewhere.example")], path) as alices:
        await alices.send_json_to({"type": "ping"})
        assert await hear(alices) == {"type": "pong"}
    async with socket([], path) as again:
        assert await closing_code(again) == 4401


async def test_without_a_credential_the_socket_is_closed_with_4401(cookie: Any) -> None:
    for headers in ([], cookie, [(b"authorization", b"Bearer tsk_nonsense")], [(b"cookie", b"sessionid=nonsense")]):
        async with socket(headers) as nobodys:
            assert await closing_code(nobodys) == 4401


async def test_a_key_without_the_scope_is_closed_with_4401(alice: User) -> None:
    _, text = await engine.apart(lambda: keys.create(alice, "test", scopes=["chat"]))

    async with socket([(b"authorization", f"Bearer {text}".encode())]) as alices:
        assert await closing_code(alices) == 4401


async def test_a_revoked_key_is_closed_with_4401(bearer: Any) -> None:
    await engine.apart(lambda: ApiKey.objects.update(revoked_at=clock.now() - timedelta(seconds=1)))

    async with socket(bearer) as alices:
        assert await closing_code(alices) == 4401


class Watchful(TaskSocket):
    """Looks more often."""

    recheck_seconds = 0.05


@pytest.mark.parametrize("way", ["key", "account"])
async def test_who_is_shut_out_later_is_closed_with_4401(bearer: Any, way: str) -> None:
    communicator = WebsocketCommunicator(SocketAccess(Watchful.as_asgi()), "/", headers=HOST + bearer)
    await communicator.connect(SECONDS)

    if way == "key":
        await engine.apart(lambda: ApiKey.objects.update(revoked_at=clock.now()))
    else:
        await engine.apart(lambda: User.objects.update(is_active=False))

    assert await closing_code(communicator) == 4401
    await communicator.disconnect(timeout=SECONDS)


async def test_where_there_is_no_socket_the_handshake_ends(bearer: Any) -> None:
    assert await is_refused(HOST + bearer, "/ws/nothing/")


# What it tells.


async def test_subscribe_follows_a_task_to_its_end(alice: User, bearer: Any) -> None:
    task = await engine.apart(submit, alice)

    async with socket(bearer) as alices:
        await alices.send_json_to({"type": "subscribe", "task_id": str(task.pk)})
        first = await hear(alices)
        running = asyncio.create_task(engine.apart(engine.run_all))
        frames = [first, *await hear_until(alices, has_ended)]
        await running

    deltas = [frame for frame in frames if frame["type"] == "task.delta"]
    assert (first["type"], first["task"]["status"]) == ("task.updated", "pending")
    assert all(frame["task_id"] == str(task.pk) for frame in frames)
    assert "".join(delta["text"] for delta in deltas) == TEXT
    assert [delta["seq"] for delta in deltas] == list(range(1, len(deltas) + 1))


async def test_subscribe_resumes_after_a_seq(alice: User, bearer: Any) -> None:
    task = await engine.apart(submit, alice)
    await engine.apart(engine.run_all)

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
        await engine.apart(submit, bob)
        task = await engine.apart(submit, alice)

        frame = await hear(alices)

    assert (frame["type"], frame["task_id"]) == ("task.updated", str(task.pk))
    assert frame["task"]["status"] == "pending"


async def test_unsubscribe_ends_the_telling(alice: User, bearer: Any) -> None:
    task = await engine.apart(submit, alice)

    async with socket(bearer) as alices:
        await alices.send_json_to({"type": "subscribe", "task_id": str(task.pk)})
        await hear(alices)
        await alices.send_json_to({"type": "unsubscribe", "task_id": str(task.pk)})
        await alices.send_json_to({"type": "ping"})
        assert await hear(alices) == {"type": "pong"}
        await engine.apart(engine.run_all)

        assert await alices.receive_nothing(0.3)


@pytest.mark.parametrize("garbage", ["", "x", "0" * 36, "../etc", "{" * 1000])
async def test_somebody_elses_task_is_as_missing_as_nothing(alice: User, bob: User, bearer: Any, garbage: str) -> None:
    theirs = await engine.apart(submit, bob)

    async with socket(bearer) as alices:
        answers = []
        for task_id in (str(theirs.pk), str(uuid4()), garbage):
            await alices.send_json_to({"type": "subscribe", "task_id": task_id})
            answers.append(await hear(alices))

    assert answers == [{"type": "error", "code": "not_found", "detail": "There is no such task."}] * 3


async def test_at_most_a_hundred_subscriptions(alice: User, bearer: Any) -> None:
    tasks = await engine.apart(lambda: [submit(alice) for _ in range(101)])

    async with socket(bearer) as alices:
        for place, task in enumerate(tasks):
            await alices.send_json_to({"type": "subscribe", "task_id": str(task.pk)})
            if place >= 45:
                await asyncio.sleep(0.11)  # more would be a flood
        frames = await hear_until(alices, lambda frame: frame["type"] == "error")

    assert frames[-1]["code"] == "rate_limited"
    assert len({frame["task_id"] for frame in frames[:-1]}) <= 100


# What it takes.


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
