"""The chat's REST calls."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ai_tasks.access import keys
from ai_tasks.models import AIGenerationTask
from chat import conversation
from chat.models import ChatMessage, ChatSession
from chat.states import SessionState

pytestmark = pytest.mark.django_db

Call = Callable[..., Any]


def problem(response: Any, status: int, code: str, *pointers: str) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code
    assert [error["pointer"] for error in document["errors"]] == list(pointers)
    return document


def test_a_session_is_created_and_found(call: Call) -> None:
    wish = {"title": "A", "item": {"type": "quiz", "id": "7"}, "system_prompt": "Be brief.", "model": "default"}

    made = call("post", "/sessions", wish)

    assert made.status_code == 201
    session = made.json()
    assert made["Location"] == f"/api/v1/chat/sessions/{session['id']}"
    assert {name: session[name] for name in wish} == wish
    assert (session["object"], session["state"], session["cost_usd"]) == ("chat.session", "active", "0")
    assert session["usage"] == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert call("get", f"/sessions/{session['id']}").json() == session


def test_a_second_active_session_about_an_item_is_refused(call: Call) -> None:
    wish = {"item": {"type": "quiz", "id": "7"}}
    call("post", "/sessions", wish)

    problem(call("post", "/sessions", wish), 409, "session_exists")

    assert ChatSession.objects.count() == 1


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"title": "t" * 201}, "/title"),
        ({"title": 7}, "/title"),
        ({"item": "quiz"}, "/item"),
        ({"item": {"type": "quiz"}}, "/item/id"),
        ({"item": {"type": "a b", "id": "7"}}, "/item/type"),
        ({"system_prompt": "x" * 20_001}, "/system_prompt"),
        ({"nonsense": 1}, "/nonsense"),
    ],
)
def test_a_session_that_does_not_fit_is_refused(call: Call, wish: dict[str, Any], pointer: str) -> None:
    problem(call("post", "/sessions", wish), 422, "invalid_input", pointer)

    assert not ChatSession.objects.exists()


def test_a_session_of_an_unknown_model_is_refused(call: Call) -> None:
    problem(call("post", "/sessions", {"model": "nobody/nothing"}), 422, "unknown_model", "/model")


def test_sessions_are_listed_in_pages_and_deleted_ones_are_not(call: Call, alice: User, bob: User) -> None:
    made = [conversation.start_session(alice, title=str(place)) for place in range(3)]
    conversation.delete(conversation.start_session(alice))
    conversation.start_session(bob)

    first = call("get", "/sessions?limit=2").json()
    second = call("get", f"/sessions?limit=2&cursor={first['next']}").json()

    assert [each["id"] for each in first["data"] + second["data"]] == [str(each.pk) for each in reversed(made)]
    assert (first["has_more"], second["has_more"], second["next"]) == (True, False, None)


def test_sessions_are_found_by_words_state_and_item(call: Call, alice: User) -> None:
    by_title = conversation.start_session(alice, title="Gravity waves")
    by_message = conversation.start_session(alice)
    conversation.send_message(by_message, "Tell me of GRAVITY")
    about = conversation.start_session(alice, item=("quiz", "7"))
    conversation.archive(about)

    def found(query: str) -> set[str]:
        return {each["id"] for each in call("get", f"/sessions?{query}").json()["data"]}

    assert found("q=gravity") == {str(by_title.pk), str(by_message.pk)}
    assert found("q=100%25") == set()
    assert found("state=archived") == {str(about.pk)}
    assert found("item_type=quiz&item_id=7") == {str(about.pk)}
    assert found("item_type=quiz&item_id=8") == set()


@pytest.mark.parametrize("query", ["nonsense=1", "q=%00", f"q={'x' * 201}", "limit=0", "cursor=??"])
def test_a_wrong_parameter_is_refused(call: Call, query: str) -> None:
    assert call("get", f"/sessions?{query}").status_code == 422


def test_a_session_is_renamed_archived_and_given_a_model(call: Call, session: ChatSession) -> None:
    change = {"title": "New", "state": "archived", "model": "simulator/sim-1", "system_prompt": "Sing."}

    changed = call("patch", f"/sessions/{session.pk}", change)

    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in change} == change


@pytest.mark.parametrize("change", [{"state": "deleted"}, {"state": "closed"}, {"title": None}, {"id": "x"}])
def test_what_may_not_be_changed_stays(call: Call, session: ChatSession, change: dict[str, Any]) -> None:
    assert call("patch", f"/sessions/{session.pk}", change).status_code == 422
    assert ChatSession.objects.get().state == SessionState.ACTIVE


def test_a_deleted_session_is_gone(call: Call, session: ChatSession) -> None:
    assert call("delete", f"/sessions/{session.pk}").status_code == 204

    problem(call("get", f"/sessions/{session.pk}"), 404, "not_found")
    problem(call("delete", f"/sessions/{session.pk}"), 404, "not_found")


def test_a_message_is_accepted_with_its_reply(call: Call, session: ChatSession) -> None:
    sent = call("post", f"/sessions/{session.pk}/messages", {"content": "Hello <b>", "client_id": "c-1"})

    assert sent.status_code == 202
    message, reply = sent.json()["message"], sent.json()["reply"]
    assert (message["number"], message["content"], message["client_id"]) == (1, "Hello <b>", "c-1")
    assert (message["html"], reply["html"]) == (None, "")
    assert (reply["state"], reply["parent_id"]) == ("pending", message["id"])
    assert AIGenerationTask.objects.filter(pk=reply["task_id"]).exists()


def test_a_message_may_follow_an_older_one(call: Call, session: ChatSession) -> None:
    first = call("post", f"/sessions/{session.pk}/messages", {"content": "one"}).json()
    call("post", f"/sessions/{session.pk}/messages", {"content": "two"})

    body = {"content": "three", "parent_id": first["reply"]["id"]}
    third = call("post", f"/sessions/{session.pk}/messages", body).json()

    assert third["message"]["parent_id"] == first["reply"]["id"]


def test_a_parent_in_another_session_is_refused(call: Call, session: ChatSession, bob: User) -> None:
    secret, _ = conversation.send_message(conversation.start_session(bob), "secret")

    answer = call("post", f"/sessions/{session.pk}/messages", {"content": "x", "parent_id": str(secret.pk)})

    problem(answer, 422, "invalid_input", "/parent_id")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/content"),
        ({"content": ""}, "/content"),
        ({"content": "  \n"}, "/content"),
        ({"content": "x" * 100_001}, "/content"),
        ({"content": ["x"]}, "/content"),
        ({"content": "x", "client_id": "c" * 65}, "/client_id"),
        ({"content": "x", "parent_id": "7"}, "/parent_id"),
        ({"content": "x", "role": "system"}, "/role"),
    ],
)
def test_a_message_that_does_not_fit_is_refused(
    call: Call, session: ChatSession, body: dict[str, Any], pointer: str
) -> None:
    problem(call("post", f"/sessions/{session.pk}/messages", body), 422, "invalid_input", pointer)

    assert not ChatMessage.objects.exists()
    assert not AIGenerationTask.objects.exists()


def test_an_archived_session_takes_no_messages(call: Call, session: ChatSession) -> None:
    conversation.archive(session)

    problem(call("post", f"/sessions/{session.pk}/messages", {"content": "x"}), 409, "session_closed")


def test_messages_are_listed_newest_first_in_pages(call: Call, session: ChatSession) -> None:
    for content in ("one", "two"):
        conversation.send_message(session, content)

    first = call("get", f"/sessions/{session.pk}/messages?limit=3").json()
    second = call("get", f"/sessions/{session.pk}/messages?limit=3&cursor={first['next']}").json()

    assert [each["number"] for each in first["data"]] == [4, 3, 2]
    assert [each["number"] for each in second["data"]] == [1]
    assert (first["has_more"], second["next"]) == (True, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=-1", "cursor=99999999999"])
def test_a_wrong_page_is_refused(call: Call, session: ChatSession, query: str) -> None:
    assert call("get", f"/sessions/{session.pk}/messages?{query}").status_code == 422


def test_an_idempotency_key_sends_a_message_once(call: Call, session: ChatSession) -> None:
    path, key = f"/sessions/{session.pk}/messages", {"Idempotency-Key": "k-1"}

    first = call("post", path, {"content": "one"}, **key)
    again = call("post", path, {"content": "one"}, **key)
    other = call("post", path, {"content": "two"}, **key)

    assert again.json()["reply"]["id"] == first.json()["reply"]["id"]
    assert again["Idempotency-Replayed"] == "true"
    problem(other, 422, "idempotency_mismatch")
    assert session.messages.count() == 2


def test_an_idempotency_key_makes_a_session_once(call: Call) -> None:
    key = {"Idempotency-Key": "k-1"}

    first, again = (call("post", "/sessions", {"title": "A"}, **key) for _ in range(2))

    assert again.json()["id"] == first.json()["id"]
    assert ChatSession.objects.count() == 1


def test_a_conversation_is_exported(call: Call, session: ChatSession) -> None:
    conversation.send_message(session, "Hello")

    markdown = call("get", f"/sessions/{session.pk}/export")
    document = call("get", f"/sessions/{session.pk}/export?as=json")

    assert markdown.content.decode().startswith("# Hello\n\n## User\n\nHello")
    assert [each["role"] for each in document.json()["messages"]] == ["user", "assistant"]
    assert "attachment" in markdown["Content-Disposition"]
    problem(call("get", f"/sessions/{session.pk}/export?as=exe"), 422, "invalid_input", "?as")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", "", None),
        ("patch", "", {"title": "mine"}),
        ("delete", "", None),
        ("get", "/messages", None),
        ("post", "/messages", {"content": "x"}),
        ("get", "/export", None),
    ],
)
def test_someone_elses_session_is_not_found(call: Call, bob: User, method: str, path: str, body: Any) -> None:
    theirs = conversation.start_session(bob, title="secret")

    for session_id in (theirs.pk, uuid4(), "not-an-id", "%00"):
        problem(call(method, f"/sessions/{session_id}{path}", body), 404, "not_found")

    theirs.refresh_from_db()
    assert (theirs.title, theirs.state) == ("secret", SessionState.ACTIVE)


def test_who_is_unknown_gets_nothing(client: Client) -> None:
    problem(client.get("/api/v1/chat/sessions"), 401, "not_authenticated")


def test_a_key_without_the_scope_gets_nothing(client: Client, alice: User) -> None:
    _, key = keys.create(alice, "test", scopes=("tasks",))

    answer = client.get("/api/v1/chat/sessions", headers={"Authorization": f"Bearer {key}"})

    problem(answer, 403, "permission_denied")


def test_a_trailing_slash_does_no_harm(call: Call, session: ChatSession) -> None:
    assert call("get", f"/sessions/{session.pk}/").json()["id"] == str(session.pk)
    assert call("post", f"/sessions/{session.pk}/messages/", {"content": "x"}).status_code == 202
