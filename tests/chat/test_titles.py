"""A chat is named by a model after its first reply, when there is time."""

from datetime import datetime
from typing import Any

import pytest

from ai_tasks.accounts.models import Budget
from ai_tasks.models import AIGenerationTask
from chat import conversation, titles
from chat.models import ChatMessage, ChatSession
from queueing.states import Priority
from tests import engine

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"latency_ms": 0, "tokens_per_second": 0}


def ask(session: ChatSession, content: str = "How do I bake bread?\nI have rye.") -> ChatMessage:
    _, reply = conversation.send_message(session, content, simulate=QUICK)
    engine.run_admitted()
    reply.refresh_from_db()
    return reply


def title_tasks() -> list[AIGenerationTask]:
    return list(AIGenerationTask.objects.of_type("chat.title"))


def end(task: AIGenerationTask, text: str) -> None:
    """Let the task have ended with this answer."""
    AIGenerationTask.objects.filter(pk=task.pk).update(status="completed", output={"text": text}, finished_at=NOW)
    titles.on_finished(task.pk)


NOW = datetime.fromisoformat("2026-11-23T06:00:00+00:00")


@pytest.fixture
def title_task(session: ChatSession) -> AIGenerationTask:
    """The task that names alice's session, not yet run."""
    reply = ask(session)
    AIGenerationTask.objects.of_type("chat.title").delete()
    task = titles.ask_after(reply)
    assert task is not None
    return task


def test_the_first_reply_has_the_chat_named_once_with_low_priority(session: ChatSession) -> None:
    ask(session)
    ask(session, "And with wheat?")

    [task] = title_tasks()
    assert task.priority == Priority.LOW
    assert (task.related_type, task.related_id) == ("chat_session", str(session.pk))


def test_the_model_sees_question_and_answer(session: ChatSession, title_task: AIGenerationTask) -> None:
    prompt = titles.build(title_task)

    [instructions, excerpt] = prompt.messages
    assert instructions.role == "system"
    assert excerpt.text.startswith("How do I bake bread?\nI have rye.\n\n")
    assert prompt.max_output_tokens < 100


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Baking rye bread", "Baking rye bread"),
        ('  "Baking rye bread."\nMore words', "Baking rye bread"),
        ("**Baking rye bread**", "Baking rye bread"),
        ("# Baking", "Baking"),
        ("「ライ麦パンの焼き方」。", "ライ麦パンの焼き方"),
        ("x" * 500, "x" * titles.LONGEST),
    ],
)
def test_the_answer_becomes_the_name(
    session: ChatSession, title_task: AIGenerationTask, answer: str, title: str
) -> None:
    end(title_task, answer)

    session.refresh_from_db()
    assert session.title == title


@pytest.mark.parametrize("answer", ["", "  \n ", "***", '""'])
def test_an_answer_that_is_no_name_changes_nothing(
    session: ChatSession, title_task: AIGenerationTask, answer: str
) -> None:
    end(title_task, answer)

    session.refresh_from_db()
    assert session.title == "How do I bake bread?"


def test_a_name_that_a_person_gave_stays(session: ChatSession, title_task: AIGenerationTask) -> None:
    conversation.rename(session, "Bread")

    end(title_task, "Something else")

    session.refresh_from_db()
    assert session.title == "Bread"


def test_a_chat_with_a_name_is_not_named(session: ChatSession) -> None:
    conversation.rename(session, "Bread")

    ask(session)

    assert title_tasks() == []


@pytest.mark.parametrize("wish", ["stop", "fail"])
def test_a_reply_that_was_no_answer_names_nothing(session: ChatSession, wish: str) -> None:
    simulate: dict[str, Any] = QUICK | ({"fail": "refusal"} if wish == "fail" else {})
    _, reply = conversation.send_message(session, "Hello", simulate=simulate)
    if wish == "stop":
        conversation.stop_reply(reply)
    engine.run_admitted()

    assert title_tasks() == []


def test_naming_can_be_switched_off(session: ChatSession, settings: Any) -> None:
    settings.AI_CHAT_TITLES = False

    ask(session)

    assert title_tasks() == []


def test_an_empty_purse_is_no_reason_to_complain(session: ChatSession) -> None:
    reply = ask(session)
    AIGenerationTask.objects.of_type("chat.title").delete()
    Budget.objects.create(scope=Budget.Scope.GLOBAL, limit_usd=0)

    assert titles.ask_after(reply) is None
    assert title_tasks() == []
