"""The task type chat.reply."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User

from ai_tasks import submission
from ai_tasks.errors import InvalidInput, UnknownTaskType
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest
from chat import conversation
from chat.models import ChatMessage, ChatSession
from chat.replies import MOST_TURNS, build, fallback_of, record
from chat.states import MessageRole, MessageState
from tests import engine

pytestmark = pytest.mark.django_db(transaction=True)


def said(text: str) -> dict[str, Any]:
    return {"text": text, "latency_ms": 0, "tokens_per_second": 0}


def ask(session: ChatSession, content: str, answer: str = "") -> ChatMessage:
    _, reply = conversation.send_message(session, content, simulate=said(answer or f"to {content}"))
    engine.run_admitted()
    reply.refresh_from_db()
    return reply


def prompt_of(reply: ChatMessage) -> list[tuple[str, str]]:
    prompt = build(AIGenerationTask.objects.get(pk=reply.task_id))
    return [(message.role, message.content) for message in prompt.messages]


def test_the_prompt_is_the_conversation_up_to_the_reply(alice: User) -> None:
    session = conversation.start_session(alice, system_prompt="Be brief.")
    ask(session, "one")

    _, reply = conversation.send_message(session, "two")

    assert prompt_of(reply) == [("system", "Be brief."), ("user", "one"), ("assistant", "to one"), ("user", "two")]


def test_a_regenerated_reply_does_not_see_its_sibling_nor_what_came_after(session: ChatSession) -> None:
    first = ask(session, "one")
    ask(session, "two")

    again = conversation.regenerate(first)

    assert prompt_of(again) == [("user", "one")]


def test_an_edited_message_takes_the_place_of_the_old_one(session: ChatSession) -> None:
    ask(session, "one")
    two = ask(session, "two").parent
    assert two is not None

    _, reply = conversation.edit_message(two, "deux")

    assert prompt_of(reply) == [("user", "one"), ("assistant", "to one"), ("user", "deux")]


def test_only_what_is_done_and_has_text_is_sent(session: ChatSession) -> None:
    _, stopped = conversation.send_message(session, "one")
    conversation.stop_reply(stopped)

    _, reply = conversation.send_message(session, "two")

    assert prompt_of(reply) == [("user", "one"), ("user", "two")]


def test_an_earlier_reply_counts_even_when_its_hook_is_late(session: ChatSession) -> None:
    earlier = ask(session, "one")
    ChatMessage.objects.filter(pk=earlier.pk).update(state=MessageState.PENDING, content="")

    _, reply = conversation.send_message(session, "two")

    assert prompt_of(reply) == [("user", "one"), ("assistant", "to one"), ("user", "two")]


def test_what_a_stopped_reply_had_said_is_sent(session: ChatSession) -> None:
    stopped = ask(session, "one")
    ChatMessage.objects.filter(pk=stopped.pk).update(state=MessageState.CANCELLED, content="half of")
    AIGenerationTask.objects.filter(pk=stopped.task_id).update(status="cancelled")

    _, reply = conversation.send_message(session, "two")

    assert prompt_of(reply) == [("user", "one"), ("assistant", "half of"), ("user", "two")]


def test_the_first_turn_and_the_newest_are_sent_when_there_are_too_many(session: ChatSession, now: datetime) -> None:
    for place in range(MOST_TURNS + 10):
        ChatSession.objects.add_message(session, MessageRole.USER, f"turn {place}", now=now)

    _, reply = conversation.send_message(session, "the newest")

    prompt = prompt_of(reply)
    assert len(prompt) == MOST_TURNS
    assert [prompt[0], prompt[1], prompt[-1]] == [("user", "turn 0"), ("user", "turn 12"), ("user", "the newest")]


def test_a_prompt_has_the_room_of_its_model(session: ChatSession, settings: Any) -> None:
    settings.AI_CHAT_CONTEXT_TOKENS = 1_000
    for letter in "abc":
        ask(session, letter * 900, answer="noted")

    _, reply = conversation.send_message(session, "d" * 900)

    assert [content[:1] for _, content in prompt_of(reply)] == ["a", "n", "c", "n", "d"]


def test_someone_elses_session_is_no_prompt(session: ChatSession, bob: User) -> None:
    _, reply = conversation.send_message(session, "secret")
    given = {"session_id": str(session.pk), "message_id": str(reply.pk)}

    with pytest.raises(InvalidInput):
        submission.submit(bob, TaskRequest(type="chat.reply", input=given))


@pytest.mark.parametrize("given", [{}, {"session_id": "x"}, {"session_id": 1, "message_id": 2}])
def test_an_input_of_another_shape_is_refused(alice: User, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        submission.submit(alice, TaskRequest(type="chat.reply", input=given))


def test_ids_that_are_none_are_refused(alice: User) -> None:
    for session_id in ("not an id", str(uuid4())):
        with pytest.raises(InvalidInput):
            given = {"session_id": session_id, "message_id": session_id}
            submission.submit(alice, TaskRequest(type="chat.reply", input=given))


def test_it_cannot_be_created_from_outside(alice: User) -> None:
    with pytest.raises(UnknownTaskType):
        submission.submit(alice, TaskRequest(type="chat.reply", input={}), is_public=True)


def test_recording_twice_changes_nothing(session: ChatSession) -> None:
    reply = ask(session, "one")
    before = ChatMessage.objects.filter(pk=reply.pk).values().get()

    assert record(reply.task_id) is True

    assert ChatMessage.objects.filter(pk=reply.pk).values().get() == before


def test_a_task_without_a_message_is_recorded_nowhere(alice: User) -> None:
    task = submission.submit(alice, TaskRequest(type="text.generate", input={"prompt": "a"}))

    assert record(task.pk) is False
    assert record(UUID(int=0)) is False


def test_a_reply_that_was_sent_back_is_pending_again(session: ChatSession) -> None:
    simulate = said("fine") | {"fail": "refusal", "fail_times": 1}
    _, reply = conversation.send_message(session, "one", simulate=simulate)
    engine.run_admitted()

    submission.retry(AIGenerationTask.objects.get(pk=reply.task_id))
    record(reply.task_id)
    reply.refresh_from_db()
    assert reply.state == MessageState.PENDING

    engine.run_admitted()
    reply.refresh_from_db()
    assert (reply.state, reply.content) == (MessageState.DONE, "fine")


def attempt(number: int, provider: str, error: str = "") -> dict[str, Any]:
    code = {"code": error, "message": "Busy."} if error else None
    return {"number": number, "provider": provider, "model": "m", "error": code}


def left(provider: str, reason: str, after_attempt: int) -> dict[str, Any]:
    return {"provider": provider, "model": "m", "reason": reason, "after_attempt": after_attempt}


@pytest.mark.parametrize(
    ("attempts", "skipped", "expected"),
    [
        ([], [], None),
        ([attempt(1, "c", "overloaded")], [], None),
        ([attempt(1, "a", "overloaded"), attempt(2, "c")], [], ("a", "overloaded")),
        ([], [left("a", "circuit_open", 0)], ("a", "circuit_open")),
        ([attempt(1, "b", "timeout")], [left("a", "circuit_open", 0)], ("b", "timeout")),
        ([attempt(1, "a", "timeout")], [left("b", "budget", 1)], ("b", "budget")),
        ([], [left("a", "circuit_open", 0), left("b", "budget", 0)], ("b", "budget")),
        ([], [{"provider": "a", "model": "m", "reason": "context_window", "detail": "Too long."}], None),
    ],
)
def test_a_fallback_names_the_place_that_the_task_left_last(
    attempts: list[Any], skipped: list[Any], expected: tuple[str, str] | None
) -> None:
    told = fallback_of({"provider": "c", "model": "m", "attempts": attempts, "skipped": skipped})

    assert told == (expected and {"from": f"{expected[0]}/m", "to": "c/m", "reason": expected[1]})
