"""Request bodies before Django: bounded, also when nobody says how long they are."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ai_tasks.api.bodies import BoundedBodies
from tests.ai_tasks.api.asgi import Communicator

pytestmark = pytest.mark.asyncio

BOUND = 1_000


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the declared and the received length."""
    message = await receive()
    length = dict(scope["headers"]).get(b"content-length", b"none")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%s/%d" % (length, len(message["body"]))})
    assert (await receive())["type"] == "http.disconnect"


async def answer(headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> AsyncIterator[Any]:
    """Send the pieces and yield the two messages of the answer."""
    scope = {"type": "http", "method": "POST", "path": "/api/v1/tasks", "headers": headers}
    application = Communicator(BoundedBodies(echo, BOUND), scope)
    for place, piece in enumerate(pieces):
        more = place < len(pieces) - 1
        await application.send_input({"type": "http.request", "body": piece, "more_body": more})
    await application.send_input({"type": "http.disconnect"})
    yield await application.receive_output()
    yield await application.receive_output()
    await application.wait()


async def test_a_declared_length_over_the_bound_is_refused_unread() -> None:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"1001")]}
    application = Communicator(BoundedBodies(echo, BOUND), scope)

    start = await application.receive_output()
    body = json.loads((await application.receive_output())["body"])

    assert start["status"] == 413
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    assert dict(start["headers"])[b"x-request-id"].decode() == body["request_id"]
    assert (body["code"], body["retryable"]) == ("payload_too_large", False)


async def test_a_chunked_body_gets_its_length() -> None:
    _, body = [message async for message in answer([], [b"x" * 400, b"", b"x" * 600])]

    assert body["body"] == b"1000/1000"


async def test_a_chunked_body_over_the_bound_is_refused_as_soon_as_it_is() -> None:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"x-request-id", b"caller-1")]}
    application = Communicator(BoundedBodies(echo, BOUND), scope)
    for _ in range(2):
        await application.send_input({"type": "http.request", "body": b"x" * 501, "more_body": True})

    start = await application.receive_output()
    body = json.loads((await application.receive_output())["body"])

    assert start["status"] == 413
    assert body["request_id"] == "caller-1"


async def test_no_body_stays_no_body() -> None:
    _, body = [message async for message in answer([], [b""])]

    assert body["body"] == b"none/0"


async def test_a_client_that_leaves_while_it_sends_is_let_go() -> None:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    application = Communicator(BoundedBodies(echo, BOUND), scope)
    await application.send_input({"type": "http.request", "body": b"x", "more_body": True})
    await application.send_input({"type": "http.disconnect"})

    await application.wait()

    assert await application.receive_nothing()
