"""Talking on the chat page, in a real Chromium served by a real `manage.py standalone`."""

import re

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.chat import LONG, QUICK, VISIBLE, Api, Ask, Open, answer_of, reply_of, wait_until_done

pytestmark = pytest.mark.browser


def test_a_first_message_makes_a_chat_and_is_answered_with_tokens_and_cost(open_page: Open) -> None:
    page = open_page("/chat/")

    page.fill("#text", "What is a relay sash?")
    page.keyboard.press("Enter")
    wait_until_done(page)

    expect(page).to_have_url(re.compile(r"/chat/[0-9a-f-]{36}/$"))
    expect(page.locator("#title")).to_have_text("What is a relay sash?")
    expect(page.locator(".session.chosen a")).to_have_text("What is a relay sash?")
    expect(answer_of(page).locator("strong")).to_have_count(1)
    expect(page.locator(".facts")).to_have_text(re.compile(r"simulator/sim-1 · \d+→\d+ tokens · \$0\.\d+"))
    expect(page.locator("#used")).to_have_text(re.compile(r"^\d+ tokens · \$0\.\d+$"))
    expect(page.locator("#status")).to_have_text("Answer complete")
    expect(page.locator("#text")).to_have_value("")


def test_an_answer_grows_while_it_is_written(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask(simulate=LONG)}/")

    expect(answer_of(page)).not_to_be_empty()
    before = len(answer_of(page).inner_text())

    expect(answer_of(page)).to_have_text(re.compile(f".{{{before + 50},}}", re.DOTALL))
    expect(page.locator(".progress")).to_contain_text("Generating · simulator/sim-1")
    expect(page.locator("#send")).to_have_text("Stop")
    page.click("#send")


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_stop_stops_and_keeps_what_came(open_page: Open, ask: Ask, api: Api, way: str) -> None:
    session_id = ask(simulate=LONG)
    page = open_page(f"/chat/{session_id}/")
    expect(answer_of(page)).not_to_be_empty()

    if way == "button":
        page.click("#send")
    else:
        page.keyboard.press("Escape")

    expect(page.locator(".message.assistant")).to_have_attribute("data-state", "cancelled")
    expect(page.locator(".facts")).to_have_text(re.compile(r"→\d+ tokens · \$0\.\d+"))
    expect(page.locator("#send")).to_have_text("Send")
    reply = reply_of(api, session_id)
    assert reply["state"] == "cancelled"
    assert reply["content"]
    assert reply["usage"]["output_tokens"] < LONG["output_tokens"]


def test_a_reload_in_the_middle_ends_with_the_whole_answer(open_page: Open, ask: Ask, api: Api) -> None:
    session_id = ask(simulate=VISIBLE)
    page = open_page(f"/chat/{session_id}/")
    expect(answer_of(page)).not_to_be_empty()

    page.reload()
    expect(answer_of(page)).not_to_be_empty()
    wait_until_done(page)

    assert answer_of(page).inner_text().split() == reply_of(api, session_id)["content"].split()


def test_stop_works_after_a_reload(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask(simulate=LONG)}/")
    expect(answer_of(page)).not_to_be_empty()

    page.reload()
    page.locator("#send[data-does=stop]").click()

    expect(page.locator(".message.assistant")).to_have_attribute("data-state", "cancelled")


def test_a_lost_connection_is_told_and_comes_back_without_a_gap(open_page: Open, ask: Ask, api: Api) -> None:
    sockets: list[WebSocketRoute] = []
    pieces: list[str] = []

    def pass_on(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        sockets.append(socket)
        server.on_message(lambda frame: (pieces.append(str(frame)), socket.send(frame)))

    session_id = ask(simulate=VISIBLE)
    page = open_page(
        f"/chat/{session_id}/", before=lambda page: page.route_web_socket(re.compile("/ws/chat/"), pass_on)
    )
    expect(answer_of(page)).not_to_be_empty()
    seen = answer_of(page).inner_text()

    sockets[0].close(code=1012)
    expect(page.locator("#banner")).to_have_text("Connection lost. Reconnecting…")
    assert answer_of(page).inner_text().startswith(seen)
    expect(page.locator("#banner")).to_be_hidden()
    wait_until_done(page)

    assert len(sockets) == 2
    assert answer_of(page).inner_text().split() == reply_of(api, session_id)["content"].split()


def test_a_failure_says_why_and_retry_writes_another_version(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask(simulate=QUICK | {'fail': 'refusal'})}/")

    expect(page.locator(".failure span")).to_have_text("The provider refused the content.")
    expect(page.locator("#status")).not_to_have_text("Generating")
    page.get_by_role("button", name="Retry").click()
    wait_until_done(page)

    expect(page.locator(".message.assistant .versions")).to_contain_text("2/2")
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator(".failure span")).to_have_text("The provider refused the content.")


def test_an_edited_message_keeps_the_old_version(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask('First wording')}/")
    wait_until_done(page)

    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator(".editor textarea").fill("Second wording")
    page.get_by_role("button", name="Save and send").click()
    expect(page.locator(".message.user .text")).to_have_text("Second wording")
    wait_until_done(page)
    page.get_by_role("button", name="Previous version").click()

    expect(page.locator(".message.user .text")).to_have_text("First wording")
    expect(page.locator(".message.user .versions")).to_contain_text("1/2")


def test_a_message_to_an_older_branch_stays_on_it(open_page: Open, ask: Ask, api: Api) -> None:
    session_id = ask("First wording")
    page = open_page(f"/chat/{session_id}/")
    wait_until_done(page)
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".message.assistant .versions")).to_contain_text("2/2")
    wait_until_done(page)

    page.get_by_role("button", name="Previous version").click()
    page.fill("#text", "Go on from here")
    page.keyboard.press("Enter")
    expect(page.locator(".message.user")).to_have_count(2)
    expect(page.locator(".message.assistant")).to_have_count(2)
    wait_until_done(page)

    numbers = {message["id"]: message for message in api("GET", f"/sessions/{session_id}/messages")["data"]}
    sent = next(message for message in numbers.values() if message["content"] == "Go on from here")
    assert numbers[sent["parent_id"]]["number"] == 2
