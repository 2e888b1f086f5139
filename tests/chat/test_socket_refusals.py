"""What the WebSocket /ws/chat/{session_id}/ refuses, and whom."""

from typing import Any
from uuid import uuid4

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from chat import conversation
from chat.models import ChatMessage, ChatSession
from config.asgi import application
from tests.ai_tasks.threads import apart
from tests.chat.tabs import SECONDS, tab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "message.send"}, "invalid_input"),
        ({"type": "message.send", "content": ""}, "invalid_input"),
        ({"type": "message.send", "content": 7}, "invalid_input"),
        ({"type": "message.send", "content": "x", "simulate": "y"}, "invalid_input"),
        ({"type": "message.send", "content": "x", "model": "nobody/nothing"}, "unknown_model"),
        ({"type": "message.send", "content": "x", "nonsense": 1}, "invalid_input"),
        ({"type": "message.send", "content": "x", "parent_id": "7"}, "not_found"),
        ({"type": "message.send", "content": "x", "client_id": "c" * 65}, "invalid_input"),
        ({"type": "reply.stop"}, "invalid_input"),
        ({"type": "reply.stop", "message_id": "7"}, "not_found"),
        ({"type": "reply.stop", "message_id": str(uuid4())}, "not_found"),
        ({"type": "reply.regenerate", "message_id": {}}, "invalid_input"),
        ({"type": "message.edit", "message_id": str(uuid4()), "content": "x"}, "not_found"),
        ({"type": "resume", "message_id": str(uuid4()), "after": 0}, "not_found"),
        ({"type": "nonsense"}, "invalid_input"),
    ],
)
async def test_a_bad_frame_is_answered_and_the_socket_stays(
    session: ChatSession, alice: User, frame: dict[str, Any], code: str
) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.say(**{"kind" if name == "type" else name: value for name, value in frame.items()})
        error = await opened.until("error")
        await opened.say("ping")
        await opened.until("pong")

    assert error["code"] == code
    assert not await ChatMessage.objects.aexists()


@pytest.mark.parametrize("after", [-1, True, "1", 1.5, 2**40])
async def test_a_seq_that_is_none_is_refused(session: ChatSession, alice: User, after: Any) -> None:
    _, reply = await apart(conversation.send_message, session, "Hello")

    async with tab(alice, session.pk) as opened:
        await opened.say("resume", message_id=str(reply.pk), after=after)
        error = await opened.until("error")

    assert error["code"] == "invalid_input"


async def test_an_error_names_the_message_it_is_about(session: ChatSession, alice: User) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.say("message.send", client_id="c-1", content="  ")
        error = await opened.until("error")

    assert (error["code"], error["client_id"]) == ("invalid_input", "c-1")


async def test_someone_elses_message_is_not_found(session: ChatSession, alice: User, bob: User) -> None:
    theirs = await apart(conversation.start_session, bob)
    message, _ = await apart(conversation.send_message, theirs, "secret")

    async with tab(alice, session.pk) as opened:
        await opened.say("message.edit", message_id=str(message.pk), content="mine")
        error = await opened.until("error")

    assert error["code"] == "not_found"


async def test_someone_elses_session_is_not_found(session: ChatSession, bob: User) -> None:
    for session_id in (session.pk, uuid4(), "not-an-id"):
        async with tab(bob, session_id) as opened:
            error = await opened.next()
            closed = await opened.communicator.receive_output(SECONDS)

        assert error["code"] == "not_found"
        assert (closed["type"], closed["code"]) == ("websocket.close", 4404)


async def test_who_is_unknown_is_told_so(session: ChatSession) -> None:
    path = f"/ws/chat/{session.pk}/"
    communicator = WebsocketCommunicator(application, path, headers=[(b"host", b"testserver")])
    await communicator.connect(SECONDS)

    closed = await communicator.receive_output(SECONDS)

    assert (closed["type"], closed["code"]) == ("websocket.close", 4401)


async def test_a_deleted_session_takes_no_messages(session: ChatSession, alice: User) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.until("session.snapshot")
        await apart(conversation.delete, session)
        await opened.say("message.send", content="Hello")
        error = await opened.until("error")

    assert error["code"] == "not_found"
