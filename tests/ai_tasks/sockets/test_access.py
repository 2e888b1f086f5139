"""Who may open a WebSocket."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from ai_tasks import clock
from ai_tasks.access import keys, tickets
from ai_tasks.access.models import ApiKey
from ai_tasks.consumers import TaskSocket
from ai_tasks.handshake import SocketAccess
from tests.ai_tasks.sockets.wire import HOST, SECONDS, closing_code, hear, is_refused, socket
from tests.ai_tasks.threads import apart

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


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
    ticket = await apart(tickets.issue, alice, datetime.now(UTC))
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
    _, text = await apart(lambda: keys.create(alice, "test", scopes=["chat"]))

    async with socket([(b"authorization", f"Bearer {text}".encode())]) as alices:
        assert await closing_code(alices) == 4401


async def test_a_revoked_key_is_closed_with_4401(bearer: Any) -> None:
    await apart(lambda: ApiKey.objects.update(revoked_at=clock.now() - timedelta(seconds=1)))

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
        await apart(lambda: ApiKey.objects.update(revoked_at=clock.now()))
    else:
        await apart(lambda: User.objects.update(is_active=False))

    assert await closing_code(communicator) == 4401
    await communicator.disconnect(timeout=SECONDS)


async def test_where_there_is_no_socket_the_handshake_ends(bearer: Any) -> None:
    assert await is_refused(HOST + bearer, "/ws/nothing/")
