"""The contract of ChatSession.objects, except add_message and token usage."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from chat import conversation
from chat.errors import SessionExists
from chat.models import ChatSession
from chat.states import SESSION_MOVES, MessageRole, SessionState

pytestmark = pytest.mark.django_db

REPOSITORY = ChatSession.objects


def add(session: ChatSession, at: datetime) -> None:
    REPOSITORY.add_message(session, MessageRole.USER, "words", now=at)


def start(owner: User, now: datetime, **options: object) -> ChatSession:
    return conversation.start_session(owner, now=now, **options)  # type: ignore[arg-type]


def test_find_by_id_finds_the_session(session: ChatSession) -> None:
    assert REPOSITORY.find_by_id(session.pk) == session


def test_find_by_id_finds_neither_missing_nor_deleted_ones(session: ChatSession) -> None:
    REPOSITORY.delete(session)

    assert REPOSITORY.find_by_id(session.pk) is None
    assert REPOSITORY.find_by_id(uuid4()) is None


def test_save_inserts_and_updates(alice: User, now: datetime) -> None:
    session = REPOSITORY.save(ChatSession(owner=alice, title="a", created_at=now, last_activity_at=now))
    session.title = "b"
    REPOSITORY.save(session)

    assert ChatSession.objects.get().title == "b"


def test_save_validates_in_full(alice: User, now: datetime) -> None:
    with pytest.raises(ValidationError):
        REPOSITORY.save(ChatSession(owner=alice, title="t" * 201, created_at=now, last_activity_at=now))

    assert not ChatSession.objects.exists()


def test_save_does_not_write_what_the_other_verbs_move(session: ChatSession, now: datetime) -> None:
    stale = ChatSession.objects.get(pk=session.pk)
    add(session, now)
    REPOSITORY.move(session, SessionState.CLOSED)

    stale.title = "renamed"
    REPOSITORY.save(stale)

    fresh = ChatSession.objects.get(pk=session.pk)
    assert (fresh.title, fresh.state, fresh.next_number) == ("renamed", SessionState.CLOSED, 2)


def test_delete_is_logical_and_idempotent(session: ChatSession, now: datetime) -> None:
    add(session, now)

    assert REPOSITORY.delete(session) is True
    assert REPOSITORY.delete(session) is False

    assert ChatSession.objects.get(pk=session.pk).state == SessionState.DELETED
    assert session.messages.count() == 1


@pytest.mark.parametrize("before", SessionState)
@pytest.mark.parametrize("after", SessionState)
def test_only_the_moves_of_the_table_are_made(session: ChatSession, before: SessionState, after: SessionState) -> None:
    ChatSession.objects.filter(pk=session.pk).update(state=before)

    moved = REPOSITORY.move(session, after)

    assert moved == (after in SESSION_MOVES[before])
    assert ChatSession.objects.get(pk=session.pk).state == (after if moved else before)


def test_find_active_by_user_returns_the_users_active_sessions_last_used_first(
    alice: User, bob: User, now: datetime
) -> None:
    older, newer, put_away = (start(alice, now + timedelta(minutes=minute)) for minute in range(3))
    start(bob, now)
    conversation.archive(put_away)

    assert list(REPOSITORY.find_active_by_user(alice)) == [newer, older]
    assert list(REPOSITORY.find_active_by_user(alice, limit=1)) == [newer]


def test_find_by_user_and_item_finds_the_active_session(alice: User, bob: User, now: datetime) -> None:
    session = start(alice, now, item=("quiz", "7"))

    assert REPOSITORY.find_by_user_and_item(alice, "quiz", "7") == session
    assert REPOSITORY.find_by_user_and_item(alice, "quiz", "8") is None
    assert REPOSITORY.find_by_user_and_item(bob, "quiz", "7") is None


def test_find_by_user_and_item_prefers_the_active_to_a_newer_closed_one(alice: User, now: datetime) -> None:
    closed = start(alice, now + timedelta(hours=1), item=("quiz", "7"))
    REPOSITORY.move(closed, SessionState.CLOSED)
    active = start(alice, now, item=("quiz", "7"))

    assert REPOSITORY.find_by_user_and_item(alice, "quiz", "7") == active


def test_find_by_user_and_item_finds_the_newest_closed_one_when_none_is_active(alice: User, now: datetime) -> None:
    for hour in range(2):
        REPOSITORY.move(start(alice, now + timedelta(hours=hour), item=("quiz", "7")), SessionState.CLOSED)

    found = REPOSITORY.find_by_user_and_item(alice, "quiz", "7")

    assert found is not None
    assert found.created_at == now + timedelta(hours=1)


def test_a_user_has_one_active_session_about_an_item(alice: User, bob: User, now: datetime) -> None:
    start(alice, now, item=("quiz", "7"))

    with pytest.raises(SessionExists):
        start(alice, now, item=("quiz", "7"))

    start(bob, now, item=("quiz", "7"))
    assert ChatSession.objects.count() == 2


def test_sessions_without_an_item_are_not_limited(alice: User, now: datetime) -> None:
    start(alice, now)
    start(alice, now)

    assert REPOSITORY.count_active_sessions(user=alice) == 2


def test_an_archived_session_cannot_return_to_an_item_that_is_taken(alice: User, now: datetime) -> None:
    old = start(alice, now, item=("quiz", "7"))
    conversation.archive(old)
    start(alice, now, item=("quiz", "7"))

    with pytest.raises(SessionExists):
        conversation.change(old, state=SessionState.ACTIVE)

    assert ChatSession.objects.get(pk=old.pk).state == SessionState.ARCHIVED


def test_find_inactive_sessions_returns_active_ones_idle_for_longer(alice: User, now: datetime) -> None:
    oldest, old, _fresh = (start(alice, now - timedelta(hours=hours)) for hours in (5, 3, 1))
    REPOSITORY.move(start(alice, now - timedelta(hours=9)), SessionState.CLOSED)

    assert list(REPOSITORY.find_inactive_sessions(now, timedelta(hours=2))) == [oldest, old]
    assert list(REPOSITORY.find_inactive_sessions(now, timedelta(hours=3))) == [oldest]


def test_get_message_history_returns_pages_newest_first(session: ChatSession, now: datetime) -> None:
    for _ in range(5):
        add(session, now)

    newest = [message.number for message in REPOSITORY.get_message_history(session, limit=2)]
    before = [message.number for message in REPOSITORY.get_message_history(session, limit=2, before=4)]

    assert (newest, before) == ([5, 4], [3, 2])


def test_get_message_history_is_bounded(session: ChatSession, now: datetime) -> None:
    for _ in range(3):
        add(session, now)

    assert len(REPOSITORY.get_message_history(session, limit=-5)) == 1
    assert REPOSITORY.get_message_history(session, limit=10**9).query.high_mark == 200


def test_counts(session: ChatSession, alice: User, bob: User, now: datetime) -> None:
    add(session, now)
    conversation.archive(start(bob, now))

    assert REPOSITORY.count_messages(session) == 1
    assert REPOSITORY.count_active_sessions() == 1
    assert REPOSITORY.count_active_sessions(user=bob) == 0


def test_average_session_length_is_the_mean_time_from_first_to_last_message(alice: User, now: datetime) -> None:
    for seconds in (10, 30):
        session = start(alice, now)
        add(session, now)
        add(session, now + timedelta(seconds=seconds / 2))
        add(session, now + timedelta(seconds=seconds))
    start(alice, now)

    assert REPOSITORY.calculate_average_session_length() == pytest.approx(20)


def test_average_session_length_of_nothing_is_none(alice: User) -> None:
    assert REPOSITORY.calculate_average_session_length(user=alice) is None


def test_idle_sessions_are_closed_and_others_stay(alice: User, now: datetime) -> None:
    idle = start(alice, now - timedelta(days=40))
    fresh = start(alice, now - timedelta(days=1))

    assert conversation.close_idle(now) == 1

    idle.refresh_from_db()
    fresh.refresh_from_db()
    assert (idle.state, fresh.state) == (SessionState.CLOSED, SessionState.ACTIVE)
