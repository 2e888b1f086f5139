"""What people wish of a chat."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks.errors import InvalidInput, NotPossible, UnknownModel
from ai_tasks.models import AIGenerationTask
from ai_tasks.states import TaskStatus
from chat import conversation
from chat.models import ChatMessage, ChatSession
from chat.states import MessageRole, MessageState, SessionState
from tests import engine

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"text": "An *answer*.", "latency_ms": 0, "tokens_per_second": 0}


def send(session: ChatSession, content: str = "Hello", **options: Any) -> tuple[ChatMessage, ChatMessage]:
    return conversation.send_message(session, content, **({"simulate": QUICK} | options))


def task_of(reply: ChatMessage) -> AIGenerationTask:
    return AIGenerationTask.objects.get(pk=reply.task_id)


def test_a_message_comes_with_a_pending_reply_and_its_task(session: ChatSession, alice: User) -> None:
    message, reply = send(session)

    task = task_of(reply)
    assert (message.role, message.state) == (MessageRole.USER, MessageState.DONE)
    assert (reply.role, reply.state, reply.parent_id) == (MessageRole.ASSISTANT, MessageState.PENDING, message.pk)
    assert (task.owner, task.type, task.serial_key) == (alice, "chat.reply", f"chat:{session.pk}")
    assert (task.related_type, task.related_id) == ("chat_session", str(session.pk))


def test_the_reply_becomes_what_its_task_says(session: ChatSession) -> None:
    _, reply = send(session)

    engine.run_admitted()

    reply.refresh_from_db()
    assert (reply.state, reply.content) == (MessageState.DONE, QUICK["text"])
    assert reply.answered_by == "simulator/sim-1"
    assert reply.usage is not None
    assert reply.usage["output_tokens"] > 0
    assert float(reply.cost_usd) > 0
    assert reply.error is None


def test_a_failed_reply_keeps_what_came_and_tells_why(session: ChatSession) -> None:
    simulate = QUICK | {"text": "one two three four five six", "fail": "refusal", "fail_after_tokens": 3}
    _, reply = send(session, simulate=simulate)

    engine.run_admitted()

    reply.refresh_from_db()
    assert reply.state == MessageState.FAILED
    assert reply.error is not None
    assert reply.error["code"] == "content_refused"
    assert reply.content
    assert str(simulate["text"]).startswith(reply.content)


def test_the_first_message_names_a_session_without_a_title(session: ChatSession) -> None:
    send(session, "\n  First line, " + "x" * 100 + "\nsecond line")
    send(session, "Something else")

    session.refresh_from_db()
    assert session.title == ("First line, " + "x" * 100)[:60]


def test_a_title_that_was_given_stays(alice: User) -> None:
    session = conversation.start_session(alice, title="Mine")

    send(session)

    session.refresh_from_db()
    assert session.title == "Mine"


def test_a_resent_message_is_not_sent_twice(session: ChatSession) -> None:
    first = send(session, client_id="c-1")

    again = send(session, client_id="c-1")

    assert again == first
    assert AIGenerationTask.objects.count() == 1
    assert session.messages.count() == 2


@pytest.mark.parametrize("content", ["", " \n\t", "a\x00b", "a\ud800b", "x" * 100_001])
def test_what_is_no_message_is_refused_and_nothing_is_written(session: ChatSession, content: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        send(session, content)

    assert refused.value.errors[0].pointer == "/content"
    assert not ChatMessage.objects.exists()
    assert not AIGenerationTask.objects.exists()


def test_an_unknown_model_is_refused_and_nothing_is_written(session: ChatSession) -> None:
    with pytest.raises(UnknownModel):
        send(session, model="nobody/nothing")

    session.refresh_from_db()
    assert not ChatMessage.objects.exists()
    assert (session.next_number, session.title) == (1, "")


def test_a_session_of_an_unknown_model_is_refused(alice: User) -> None:
    with pytest.raises(UnknownModel):
        conversation.start_session(alice, model="nobody/nothing")

    assert not ChatSession.objects.exists()


def test_a_waiting_reply_is_stopped_at_once(session: ChatSession) -> None:
    _, reply = send(session)

    stopped = conversation.stop_reply(reply)

    assert stopped.state == MessageState.CANCELLED
    assert task_of(reply).status == TaskStatus.CANCELLED


def test_stopping_is_idempotent(session: ChatSession) -> None:
    _, reply = send(session)
    engine.run_admitted()

    assert conversation.stop_reply(reply).state == MessageState.DONE
    assert conversation.stop_reply(reply).state == MessageState.DONE


def test_a_persons_message_cannot_be_stopped(session: ChatSession) -> None:
    message, _ = send(session)

    with pytest.raises(NotPossible):
        conversation.stop_reply(message)


def test_a_regenerated_reply_stands_beside_the_first(session: ChatSession) -> None:
    message, reply = send(session)
    engine.run_admitted()

    again = conversation.regenerate(reply)

    reply.refresh_from_db()
    assert again.parent_id == message.pk
    assert (reply.state, again.state) == (MessageState.DONE, MessageState.PENDING)
    assert again.task_id not in (None, reply.task_id)


def test_a_reply_that_is_being_written_is_not_regenerated(session: ChatSession) -> None:
    _, reply = send(session)

    with pytest.raises(NotPossible):
        conversation.regenerate(reply)

    assert session.messages.count() == 2


def test_an_edited_message_is_a_version_with_a_reply_of_its_own(session: ChatSession) -> None:
    message, reply = send(session)
    engine.run_admitted()

    edited, new_reply = conversation.edit_message(message, "Hello, edited")

    message.refresh_from_db()
    assert (message.content, edited.content) == ("Hello", "Hello, edited")
    assert (edited.parent_id, new_reply.parent_id) == (message.parent_id, edited.pk)
    assert ChatMessage.objects.filter(pk=reply.pk, state=MessageState.DONE).exists()


def test_a_reply_cannot_be_edited(session: ChatSession) -> None:
    _, reply = send(session)

    with pytest.raises(NotPossible):
        conversation.edit_message(reply, "mine now")


def test_a_session_is_renamed_archived_and_taken_out_again(session: ChatSession) -> None:
    conversation.rename(session, "A name")
    conversation.archive(session)
    assert (session.title, session.state) == ("A name", SessionState.ARCHIVED)

    conversation.change(session, state=SessionState.ACTIVE)
    assert ChatSession.objects.get().state == SessionState.ACTIVE


def test_deleting_a_session_stops_what_is_being_written(session: ChatSession) -> None:
    _, reply = send(session)

    assert conversation.delete(session) is True

    reply.refresh_from_db()
    assert reply.state == MessageState.CANCELLED
    assert task_of(reply).status == TaskStatus.CANCELLED
