"""Open sockets of a process look at their sessions together."""

import asyncio
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat import conversation, standing
from chat.models import ChatSession

pytestmark = pytest.mark.django_db(transaction=True)


def test_many_looks_are_one_query(session: ChatSession, alice: User) -> None:
    other = conversation.start_session(alice, title="Other")
    conversation.send_message(session, "Hello")

    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = standing.standings([session.pk, other.pk, uuid4()])

    assert len(queries) == 1
    assert found == {
        session.pk: standing.Standing(2, ("Hello", "active", "default", "")),
        other.pk: standing.Standing(0, ("Other", "active", "default", "")),
    }


def test_each_look_gets_the_answer_about_its_session(session: ChatSession, alice: User) -> None:
    deleted = conversation.start_session(alice)
    conversation.delete(deleted)

    async def scene() -> list[standing.Standing | None]:
        return await asyncio.gather(*(standing.look(each) for each in (session.pk, deleted.pk, session.pk)))

    one, none, same = asyncio.run(scene())
    assert none is None
    assert one == same
    assert one is not None
    assert one.newest == 0
