"""A page's socket tells how replies look while they are written, and of what becomes of the session."""

import asyncio

import pytest
from django.contrib.auth.models import User

from chat import conversation
from chat.models import ChatSession
from chat.render import to_html
from queueing.models import QueueEntry
from tests import engine
from tests.ai_tasks.threads import apart
from tests.chat.tabs import Tab, tab
from tests.chat.test_growing import elements_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

TEXT = "# Head\n\nSome **bold** words.\n\n```python\nx = 1\n```\n\n- a\n- b\n\nThe end."
SLOW = {"text": TEXT, "latency_ms": 0, "tokens_per_second": 60}


def painted(opened: Tab) -> list[str]:
    """Return what a page would show."""
    shown: list[str] = []
    for frame in opened.of("reply.html"):
        shown[frame["keep"] :] = elements_of(frame["html"])
    return shown


async def test_what_is_painted_while_it_is_written_is_how_it_will_look(alice: User, session: ChatSession) -> None:
    async with tab(alice, session.pk, "?html=1") as opened:
        await opened.say("message.send", content="Hello", simulate=SLOW)
        await opened.until("reply.queued")
        running = asyncio.create_task(apart(engine.run_admitted))
        await opened.until("reply.completed")
        await running

    frames = opened.of("reply.html")
    assert len(frames) >= 3
    shown = painted(opened)
    whole = elements_of(to_html(TEXT))
    assert shown[:-1] == whole[: len(shown) - 1]
    assert opened.text() == TEXT
    assert [frame["seq"] for frame in frames] == sorted(frame["seq"] for frame in frames)


async def test_nothing_is_painted_for_who_did_not_ask(alice: User, session: ChatSession) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.say("message.send", content="Hello", simulate=SLOW)
        await opened.until("reply.queued")
        running = asyncio.create_task(apart(engine.run_admitted))
        await opened.until("reply.completed")
        await running

    assert opened.of("reply.html") == []


async def test_who_comes_back_sees_the_whole_and_hears_the_rest(alice: User, session: ChatSession) -> None:
    async with tab(alice, session.pk, "?html=1") as first:
        await first.say("message.send", content="Hello", simulate=SLOW | {"tokens_per_second": 20})
        await first.until("reply.queued")
        running = asyncio.create_task(apart(engine.run_admitted))
        while len(first.of("reply.html")) < 2:
            await first.next()
    seen = first.of("reply.delta")[-1]

    async with tab(alice, session.pk, "?html=1") as second:
        await second.until("reply.started")
        await second.say("resume", message_id=seen["message_id"], after=seen["seq"])
        second.frames.clear()
        await second.until("reply.completed")
        await running

    after_resume = [frame["seq"] for frame in second.of("reply.delta") if frame["seq"] > seen["seq"]]
    assert after_resume
    assert second.of("reply.html")[0]["keep"] == 0
    assert painted(second)[:2] == elements_of(to_html(TEXT))[:2]


async def test_a_restart_paints_anew(alice: User, session: ChatSession) -> None:
    cut = {"fail": "cut", "fail_after_tokens": 12, "fail_times": 1, "tokens_per_second": 30}
    async with tab(alice, session.pk, "?html=1") as opened:
        await opened.say("message.send", content="Hello", simulate=SLOW | cut)
        await opened.until("reply.queued")
        await apart(engine.run_admitted)
        await apart(lambda: QueueEntry.objects.parked().wake())
        running = asyncio.create_task(apart(engine.run_admitted))
        await opened.until("reply.reset")
        await opened.until("reply.completed")
        await running

    reset_at = opened.frames.index(opened.of("reply.reset")[0])
    before = [frame for frame in opened.frames[:reset_at] if frame["type"] == "reply.html"]
    later = [frame for frame in opened.frames[reset_at:] if frame["type"] == "reply.html"]
    assert before
    assert later[0]["keep"] == 0
    assert later[0]["seq"] > before[-1]["seq"]


@pytest.mark.parametrize("wish", ["rename", "archive"])
async def test_other_tabs_learn_what_became_of_the_session(alice: User, session: ChatSession, wish: str) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.until("session.snapshot")
        change = {"title": "After"} if wish == "rename" else {"state": "archived"}
        await apart(conversation.change, session, **change)
        frame = await opened.until("session.updated")

    assert {name: frame["session"][name] for name in change} == change


async def test_a_deleted_session_is_closed_everywhere(alice: User, session: ChatSession) -> None:
    async with tab(alice, session.pk) as opened:
        await opened.until("session.snapshot")
        await apart(conversation.delete, session)
        frame = await opened.until("error")
        closing = await opened.communicator.receive_output(5)

    assert frame["code"] == "not_found"
    assert (closing["type"], closing["code"]) == ("websocket.close", 4404)
