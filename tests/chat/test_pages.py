"""The pages, and the chat in the admin."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client

from chat import conversation
from chat.models import ChatSession
from chat.texts import page_texts

pytestmark = pytest.mark.django_db

PAGES = Path(__file__).parents[2] / "chat"


@pytest.fixture
def browser(client: Client, alice: User) -> Client:
    """Return alice's browser, signed in."""
    client.force_login(alice)
    return client


def start_of(response: Any) -> dict[str, Any]:
    """Return the data that the page's scripts begin with."""
    found = re.search(
        r'<script id="start" type="application/json">(.*?)</script>', response.content.decode(), re.DOTALL
    )
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_who_is_unknown_is_asked_to_sign_in(client: Client) -> None:
    for path in ("/", "/chat/", "/chat/01890000-0000-7000-8000-000000000000/"):
        answer = client.get(path)

        assert answer.status_code == 302
        assert answer["Location"].startswith("/login/?next=")


def test_home_opens_the_session_used_last(browser: Client, alice: User) -> None:
    session = conversation.start_session(alice)
    conversation.archive(conversation.start_session(alice))

    assert browser.get("/")["Location"] == f"/chat/{session.pk}/"


def test_home_without_sessions_is_the_page_for_a_new_one(browser: Client) -> None:
    assert browser.get("/")["Location"] == "/chat/"
    assert start_of(browser.get("/chat/"))["session_id"] is None
    assert not ChatSession.objects.exists()


def test_a_page_brings_its_snapshot(browser: Client, alice: User) -> None:
    session = conversation.start_session(alice, title="</script><script>alert(1)</script>")
    conversation.send_message(session, "</script><b>Hello</b>")

    answer = browser.get(f"/chat/{session.pk}/")

    start = start_of(answer)
    assert start["snapshot"]["messages"][0]["content"] == "</script><b>Hello</b>"
    assert start["snapshot"]["session"]["id"] == str(session.pk)
    assert b"<script>alert" not in answer.content


def test_someone_elses_page_is_not_found(browser: Client, bob: User) -> None:
    theirs = conversation.start_session(bob)

    assert browser.get(f"/chat/{theirs.pk}/").status_code == 404


def test_only_the_own_sessions_are_listed(browser: Client, alice: User, bob: User) -> None:
    conversation.start_session(alice, title="mine-all-mine")
    conversation.start_session(bob, title="theirs-alone")

    content = browser.get("/chat/").content.decode()

    assert "mine-all-mine" in content
    assert "theirs-alone" not in content


@pytest.mark.parametrize("path", ["/chat/", "/login/"])
def test_a_page_keeps_the_strict_policy(browser: Client, path: str) -> None:
    if path == "/login/":
        browser.logout()

    answer = browser.get(path)

    html = re.sub(
        r'<script id="start" type="application/json">.*?</script>', "", answer.content.decode(), flags=re.DOTALL
    )
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]* src=)", html)


def test_every_asset_of_the_page_exists(browser: Client) -> None:
    html = browser.get("/chat/").content.decode()

    assets = re.findall(r'(?:src|href)="/static/([^"?]+)"', html)

    assert len(assets) >= 6
    assert [each for each in assets if finders.find(each) is None] == []


@pytest.mark.parametrize(("language", "words"), [("ja", "新しいチャット"), ("en", "New chat"), ("fr", "New chat")])
def test_the_page_speaks_the_readers_language(browser: Client, language: str, words: str) -> None:
    answer = browser.get("/chat/", headers={"Accept-Language": language})

    assert words in answer.content.decode()
    assert start_of(answer)["texts"]["stop"] == {"ja": "停止"}.get(language, "Stop")


def test_every_text_of_the_scripts_exists() -> None:
    scripts = "".join(path.read_text() for path in (PAGES / "static/chat/js").glob("*.js"))

    used = set(re.findall(r'\btext\("(\w+)"', scripts))

    assert used
    assert used <= set(page_texts())


def test_every_text_is_translated_with_its_places() -> None:
    catalog = (PAGES / "locale/ja/LC_MESSAGES/django.po").read_text()
    pairs = re.findall(r'^msgid "(.+)"\nmsgstr "(.*)"$', catalog, re.MULTILINE)

    assert len(pairs) > 100
    for english, japanese in pairs:
        assert japanese, english
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", japanese))


def test_the_login_page_signs_in_and_says_what_is_wrong(client: Client, alice: User) -> None:
    alice.set_password("wonder-land-1865")
    alice.save()

    wrong = client.post("/login/", {"username": "alice", "password": "no"})
    right = client.post("/login/", {"username": "alice", "password": "wonder-land-1865", "next": "/chat/"})

    assert b'role="alert"' in wrong.content
    assert right["Location"] == "/chat/"


@pytest.mark.parametrize("path", ["chatsession/", "chatmessage/", "chatsession/?q=hello", "chatmessage/?q=hello"])
def test_operators_read_conversations_in_the_admin(client: Client, alice: User, admin_user: User, path: str) -> None:
    session = conversation.start_session(alice)
    message, _ = conversation.send_message(session, "Hello")
    client.force_login(admin_user)

    shown = client.get(f"/admin/chat/{path}")
    detail = client.get(f"/admin/chat/chatmessage/{message.pk}/change/")
    added = client.get("/admin/chat/chatsession/add/")

    assert (shown.status_code, detail.status_code, added.status_code) == (200, 200, 403)
    assert b"Hello" in shown.content
    assert b'name="_save"' not in detail.content
