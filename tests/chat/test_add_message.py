"""ChatSession.objects.add_message."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from chat import conversation
from chat.errors import SessionClosed
from chat.models import ChatMessage, ChatSession
from chat.states import MessageRole, SessionState

WRITERS = 8
EACH = 5


def add(session: ChatSession, content: str, now: datetime, **options: object) -> ChatMessage:
    message: ChatMessage = ChatSession.objects.add_message(session, MessageRole.USER, content, now=now, **options)
    return message


@pytest.mark.django_db
def test_messages_are_numbered_from_one_and_each_follows_the_newest(session: ChatSession, now: datetime) -> None:
    first = add(session, "one", now)
    second = add(session, "two", now)

    assert (first.number, second.number) == (1, 2)
    assert first.parent is None
    assert second.parent_id == first.pk


@pytest.mark.django_db
def test_a_message_may_follow_an_older_one(session: ChatSession, now: datetime) -> None:
    first = add(session, "one", now)
    add(session, "two", now)

    third = add(session, "three", now, after=first)

    assert third.parent_id == first.pk


@pytest.mark.django_db
def test_another_version_stands_beside_the_message(session: ChatSession, now: datetime) -> None:
    first = add(session, "one", now)
    second = add(session, "two", now)

    version = add(session, "deux", now, beside=second)

    assert version.parent_id == first.pk
    assert version.number == 3


@pytest.mark.django_db
def test_another_version_of_the_first_message_has_no_parent(session: ChatSession, now: datetime) -> None:
    first = add(session, "one", now)

    assert add(session, "un", now, beside=first).parent is None


@pytest.mark.django_db
def test_a_client_id_that_was_sent_before_returns_its_message_and_leaves_no_gap(
    session: ChatSession, now: datetime
) -> None:
    first = add(session, "one", now, client_id="c-1")

    again = add(session, "one", now, client_id="c-1")
    following = add(session, "two", now)

    assert again == first
    assert following.number == 2


@pytest.mark.django_db
def test_the_same_client_id_in_another_session_is_another_message(
    session: ChatSession, alice: User, now: datetime
) -> None:
    other = conversation.start_session(alice)

    assert add(session, "one", now, client_id="c-1") != add(other, "one", now, client_id="c-1")


@pytest.mark.django_db
def test_a_closed_session_is_active_again(session: ChatSession, now: datetime) -> None:
    ChatSession.objects.move(session, SessionState.CLOSED)

    add(session, "one", now)

    session.refresh_from_db()
    assert session.state == SessionState.ACTIVE


@pytest.mark.django_db
def test_reopening_closes_the_session_that_took_the_items_place(alice: User, now: datetime) -> None:
    older = conversation.start_session(alice, item=("quiz", "7"))
    ChatSession.objects.move(older, SessionState.CLOSED)
    newer = conversation.start_session(alice, item=("quiz", "7"))

    add(older, "one", now)

    newer.refresh_from_db()
    older.refresh_from_db()
    assert (older.state, newer.state) == (SessionState.ACTIVE, SessionState.CLOSED)


@pytest.mark.django_db
@pytest.mark.parametrize("state", [SessionState.ARCHIVED, SessionState.DELETED])
def test_an_archived_or_deleted_session_takes_no_messages(
    session: ChatSession, now: datetime, state: SessionState
) -> None:
    ChatSession.objects.move(session, state)

    with pytest.raises(SessionClosed):
        add(session, "one", now)

    assert ChatSession.objects.count_messages(session) == 0


@pytest.mark.django_db
def test_activity_never_goes_back(session: ChatSession, now: datetime) -> None:
    late = session.last_activity_at + timedelta(days=400)
    add(session, "one", late)

    add(session, "two", late - timedelta(days=1))

    session.refresh_from_db()
    assert session.last_activity_at == late


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_leave_no_gaps_and_no_doubles(session: ChatSession, now: datetime) -> None:
    def write(writer: int) -> None:
        try:
            own = ChatSession.objects.get(pk=session.pk)
            for place in range(EACH):
                add(own, f"{writer}.{place}", now)
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))

    numbers = list(session.messages.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, WRITERS * EACH + 1))
    for message in session.messages.exclude(number=1).select_related("parent"):
        assert message.parent is not None
        assert message.parent.number == message.number - 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_resends_of_one_message_make_one(session: ChatSession, now: datetime) -> None:
    def write(_: int) -> ChatMessage:
        try:
            own = ChatSession.objects.get(pk=session.pk)
            return add(own, "once", now, client_id="c-1")
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        made = set(pool.map(write, range(WRITERS)))

    session.refresh_from_db()
    assert len(made) == 1
    assert session.next_number == 2
