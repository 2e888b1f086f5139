"""The WebSocket /ws/chat/{session_id}/."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User

from ai_tasks import submission
from ai_tasks.access import keys
from ai_tasks.models import AIGenerationTask
from chat import conversation
from chat.models import ChatMessage, ChatSession
from chat.states import MessageState
from config.asgi import application
from queueing.models import QueueEntry
from tests import engine
from tests.ai_tasks.threads import apart

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

SECONDS = 10
TEXT = "The *Shinano* is the longest river of Japan."
QUICK = {"text": TEXT, "latency_ms": 0, "tokens_per_second": 0}
VISIBLE = QUICK | {"tokens_per_second": 100}
SLOW = {"output_tokens": 2000, "latency_ms": 0, "tokens_per_second": 100}


class Tab:
    """One open socket."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self.communicator = communicator
        self.frames: list[dict[str, Any]] = []

    async def say(self, kind: str, **members: Any) -> None:
        """Send a frame."""
        await self.communicator.send_to(json.dumps({"type": kind, **members}))

    async def next(self) -> dict[str, Any]:
        """Wait for a frame."""
        frame: dict[str, Any] = json.loads(await self.communicator.receive_from(SECONDS))
        self.frames.append(frame)
        return frame

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait for the frame that is the `count`th of its type from here on."""
        while True:
            frame = await self.next()
            count -= frame["type"] == kind
            if not count:
                return frame

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the frames of that type so far."""
        return [frame for frame in self.frames if frame["type"] == kind]

    def text(self) -> str:
        """Return what the deltas say so far."""
        return "".join(frame["text"] for frame in self.of("reply.delta"))


@asynccontextmanager
async def tab(owner: User, session_id: Any) -> AsyncIterator[Tab]:
    _, key = await apart(keys.create, owner, "test")
    headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {key}".encode())]
    communicator = WebsocketCommunicator(application, f"/ws/chat/{session_id}/", headers=headers)
    accepted, _ = await communicator.connect(SECONDS)
    assert accepted
    try:
        yield Tab(communicator)
    finally:
        await communicator.disconnect(timeout=SECONDS)


async def test_it_begins_with_a_snapshot(session: ChatSession, alice: User) -> None:
    await apart(conversation.send_message, session, "Hello")

    async with tab(alice, session.pk) as opened:
        snapshot = await opened.next()

    assert snapshot["type"] == "session.snapshot"
    assert snapshot["session"]["id"] == str(session.pk)
    assert [message["role"] for message in snapshot["messages"]] == ["user", "assistant"]
    assert snapshot["has_more"] is False


async def test_a_message_is_answered_from_queued_to_completed(session: ChatSession, alice: User) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.say("message.send", client_id="c-1", content="Hello", simulate=VISIBLE)
        queued = await opened.until("reply.queued")
        running = asyncio.create_task(apart(engine.run_admitted))
        completed = await opened.until("reply.completed")
        await running

    message, reply = (frame["message"] for frame in opened.of("message.created"))
    assert (message["client_id"], reply["state"]) == ("c-1", "pending")
    assert (queued["message_id"], queued["position"]) == (reply["id"], 1)
    assert {"reason", "expected_start"} <= set(queued)
    started = opened.of("reply.started")[0]
    assert (started["provider"], started["model"]) == ("simulator", "sim-1")
    assert opened.text() == TEXT
    seqs = [frame["seq"] for frame in opened.of("reply.delta")]
    assert seqs == sorted(set(seqs))
    assert (completed["message"]["content"], completed["message"]["state"]) == (TEXT, "done")
    assert "<em>Shinano</em>" in completed["message"]["html"]
    assert completed["usage"]["total_tokens"] == completed["session"]["usage"]["total_tokens"] > 0
    assert completed["cost_usd"] == completed["session"]["cost_usd"]
    assert all(frame["message_id"] == reply["id"] for frame in opened.frames if frame["type"].startswith("reply."))


async def test_a_resent_client_id_is_answered_and_not_sent_twice(session: ChatSession, alice: User) -> None:
    async with tab(alice, session.pk) as opened:
        for _ in range(2):
            await opened.say("message.send", client_id="c-1", content="Hello")
        await opened.until("message.created", 4)

    ids = [frame["message"]["id"] for frame in opened.of("message.created")]
    assert ids[:2] == ids[2:]
    assert await AIGenerationTask.objects.acount() == 1


async def test_a_running_reply_is_stopped_and_keeps_what_came(session: ChatSession, alice: User) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.say("message.send", content="Hello", simulate=SLOW)
        reply_id = (await opened.until("reply.queued"))["message_id"]
        running = asyncio.create_task(apart(engine.run_admitted))
        await opened.until("reply.delta")
        await opened.say("reply.stop", message_id=reply_id)
        cancelled = await opened.until("reply.cancelled")
        await running

    assert cancelled["message"]["state"] == "cancelled"
    assert cancelled["message"]["content"] == opened.text() != ""
    assert cancelled["session"]["usage"]["output_tokens"] > 0


async def test_a_failed_reply_says_why_and_whether_to_try_again(session: ChatSession, alice: User) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.say("message.send", content="Hello", simulate=QUICK | {"fail": "refusal"})
        await opened.until("reply.queued")
        running = asyncio.create_task(apart(engine.run_admitted))
        failed = await opened.until("reply.failed")
        await running

    assert failed["error"]["code"] == "content_refused"
    assert failed["retryable"] is False


async def test_a_regenerated_reply_is_a_sibling(session: ChatSession, alice: User) -> None:
    _, reply = await apart(conversation.send_message, session, "Hello", simulate=QUICK)
    await apart(engine.run_admitted)

    async with tab(alice, session.pk) as opened:
        await opened.say("reply.regenerate", message_id=str(reply.pk))
        created = await opened.until("message.created")

    assert created["message"]["parent_id"] == str(reply.parent_id)
    assert created["message"]["state"] == "pending"


async def test_an_edited_message_is_a_sibling_with_a_reply(session: ChatSession, alice: User) -> None:
    message, _ = await apart(conversation.send_message, session, "Hello", simulate=QUICK)

    async with tab(alice, session.pk) as opened:
        await opened.say("message.edit", message_id=str(message.pk), content="Hello again")
        await opened.until("message.created", 2)

    edited, reply = (frame["message"] for frame in opened.of("message.created"))
    assert (edited["parent_id"], edited["content"]) == (None, "Hello again")
    assert reply["parent_id"] == edited["id"]


async def test_a_tab_that_is_opened_late_gets_the_whole_answer(session: ChatSession, alice: User) -> None:
    await apart(conversation.send_message, session, "Hello", simulate=VISIBLE)
    running = asyncio.create_task(apart(engine.run_admitted))

    async with tab(alice, session.pk) as first:
        await first.until("reply.delta")
    async with tab(alice, session.pk) as second:
        await second.until("reply.completed")
    await running

    assert second.text() == TEXT


async def test_a_tab_that_was_cut_off_gets_the_rest(session: ChatSession, alice: User) -> None:
    _, reply = await apart(conversation.send_message, session, "Hello", simulate=VISIBLE)
    running = asyncio.create_task(apart(engine.run_admitted))

    async with tab(alice, session.pk) as first:
        seen = await first.until("reply.delta")
        before = first.text()
    async with tab(alice, session.pk) as second:
        await second.until("session.snapshot")
        await second.say("resume", message_id=str(reply.pk), after=seen["seq"])
        await second.until("reply.completed")
    await running

    # What it is told before the server reads `resume` may begin at the beginning; a client passes over what it has.
    rest = {frame["seq"]: frame["text"] for frame in second.of("reply.delta") if frame["seq"] > seen["seq"]}
    assert before + "".join(text for _, text in sorted(rest.items())) == TEXT


async def test_resuming_a_reply_that_has_ended_tells_the_rest_and_the_end(session: ChatSession, alice: User) -> None:
    _, reply = await apart(conversation.send_message, session, "Hello", simulate=VISIBLE)
    await apart(engine.run_admitted)

    async with tab(alice, session.pk) as opened:
        await opened.until("session.snapshot")
        await opened.say("resume", message_id=str(reply.pk), after=0)
        completed = await opened.until("reply.completed")

    assert opened.text() == TEXT == completed["message"]["content"]


async def test_another_tab_sees_the_same(session: ChatSession, alice: User) -> None:
    async with tab(alice, session.pk) as sender, tab(alice, session.pk) as watcher:
        await watcher.until("session.snapshot")
        await sender.say("message.send", client_id="c-1", content="Hello", simulate=VISIBLE)
        await watcher.until("message.created", 2)
        running = asyncio.create_task(apart(engine.run_admitted))
        await watcher.until("reply.completed")
        await running

    assert watcher.text() == TEXT


async def test_a_message_sent_by_rest_appears(session: ChatSession, alice: User) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.until("session.snapshot")
        await apart(conversation.send_message, session, "From elsewhere")
        created = await opened.until("message.created")

    assert created["message"]["content"] == "From elsewhere"


async def test_a_restarted_answer_says_so(session: ChatSession, alice: User) -> None:
    simulate = VISIBLE | {"fail": "cut", "fail_times": 1, "fail_after_tokens": 3}
    async with tab(alice, session.pk) as opened:
        await opened.say("message.send", content="Hello", simulate=simulate)
        reply_id = (await opened.until("reply.queued"))["message_id"]
        await apart(engine.run_admitted)
        await apart(_skip_backoff)
        running = asyncio.create_task(apart(engine.run_admitted))
        reset = await opened.until("reply.reset")
        opened.frames.clear()
        completed = await opened.until("reply.completed")
        await running

    assert (reset["message_id"], reset["reason"]) == (reply_id, "stream_cut")
    assert opened.text() == TEXT == completed["message"]["content"]


def _skip_backoff() -> None:
    """Wake what is parked, as time would."""
    QueueEntry.objects.parked().wake()


async def test_a_reply_that_was_sent_back_is_followed_again(session: ChatSession, alice: User) -> None:
    simulate = QUICK | {"fail": "refusal", "fail_times": 1}
    async with tab(alice, session.pk) as opened:
        await opened.say("message.send", content="Hello", simulate=simulate)
        reply_id = (await opened.until("reply.queued"))["message_id"]
        await apart(engine.run_admitted)
        await opened.until("reply.failed")
        task_id = (await ChatMessage.objects.aget(pk=reply_id)).task_id
        await apart(lambda: submission.retry(AIGenerationTask.objects.get(pk=task_id)))
        await opened.until("reply.queued")
        await apart(engine.run_admitted)
        completed = await opened.until("reply.completed")

    assert completed["message_id"] == reply_id
    assert (await ChatMessage.objects.aget(pk=reply_id)).state == MessageState.DONE


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
