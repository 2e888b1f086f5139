"""Talking over the WebSocket /ws/chat/{session_id}/."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import submission
from ai_tasks.models import AIGenerationTask
from chat import conversation
from chat.models import ChatMessage, ChatSession
from chat.states import MessageState
from providers.adapters import simulator
from queueing.models import QueueEntry
from tests import engine
from tests.ai_tasks.threads import apart
from tests.chat.tabs import tab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

TEXT = "The *Shinano* is the longest river of Japan."
QUICK = {"text": TEXT, "latency_ms": 0, "tokens_per_second": 0}
VISIBLE = QUICK | {"tokens_per_second": 100}
SLOW = {"output_tokens": 2000, "latency_ms": 0, "tokens_per_second": 100}


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


@pytest.fixture
def may_go_on(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set, the simulator pauses after the third token."""
    event, spoken = threading.Event(), simulator._spoken

    async def spoken_in_two_parts(*args: Any) -> AsyncIterator[tuple[int, str]]:
        async for so_far, piece in spoken(*args):
            yield so_far, piece
            if so_far == 3:
                await asyncio.to_thread(event.wait, 60)

    monkeypatch.setattr(simulator, "_spoken", spoken_in_two_parts)
    return event


async def test_a_tab_that_is_opened_late_gets_the_whole_answer(
    session: ChatSession, alice: User, may_go_on: threading.Event
) -> None:
    await apart(conversation.send_message, session, "Hello", simulate=VISIBLE)
    running = asyncio.create_task(apart(engine.run_admitted))

    async with tab(alice, session.pk) as first:
        await first.until("reply.delta")
    async with tab(alice, session.pk) as second:
        await second.until("session.snapshot")
        may_go_on.set()
        await second.until("reply.completed")
    await running

    assert second.text() == TEXT


async def test_a_tab_that_was_cut_off_gets_the_rest(
    session: ChatSession, alice: User, may_go_on: threading.Event
) -> None:
    _, reply = await apart(conversation.send_message, session, "Hello", simulate=VISIBLE)
    running = asyncio.create_task(apart(engine.run_admitted))

    async with tab(alice, session.pk) as first:
        seen = await first.until("reply.delta")
        before = first.text()
    async with tab(alice, session.pk) as second:
        await second.until("session.snapshot")
        await second.say("resume", message_id=str(reply.pk), after=seen["seq"])
        may_go_on.set()
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


async def test_a_waiting_reply_hears_of_its_new_place(session: ChatSession, alice: User) -> None:
    ahead = await apart(conversation.start_session, alice)
    _, before = await apart(conversation.send_message, ahead, "Sooner")

    async with tab(alice, session.pk) as opened:
        await opened.say("message.send", content="Later")
        first = await opened.until("reply.queued")
        await apart(conversation.stop_reply, before)
        second = await opened.until("reply.queued")

    assert (first["position"], second["position"]) == (2, 1)
