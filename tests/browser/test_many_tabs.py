"""Two tabs and a phone on the same chat agree after every step, whichever of them takes it."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat import ENDED_MS, VISIBLE, Api, Ask, Open, wait_until_done

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}}
SHOWN = """() => ({
    title: document.getElementById("title").textContent,
    used: document.getElementById("used").textContent,
    month: document.getElementById("month-words").textContent,
    messages: [...document.querySelectorAll(".message")].map((each) => ({
        state: each.dataset.state,
        text: each.querySelector(".text").innerHTML,
        foot: each.querySelector(".foot")?.textContent,
    })),
})"""


def agree(pages: list[Page]) -> dict[str, Any]:
    """Wait until all show the same, and return it."""
    first, *others = pages
    for other in others:
        other.wait_for_function(
            f"wanted => JSON.stringify(({SHOWN})()) === wanted",
            arg=first.evaluate(f"() => JSON.stringify(({SHOWN})())"),
            timeout=ENDED_MS,
        )
    shown: dict[str, Any] = first.evaluate(SHOWN)
    return shown


@pytest.fixture
def session_id(ask: Ask) -> str:
    """A chat with one question and its answer."""
    return ask("First question", title="Before")


@pytest.fixture
def pages(open_page: Open, session_id: str) -> list[Page]:
    """The chat in two tabs and on a phone."""
    path = f"/chat/{session_id}/"
    found = [open_page(path), open_page(path), open_page(path, **PHONE)]
    all_done(found, 1)
    return found


def all_done(pages: list[Page], replies: int) -> None:
    for page in pages:
        expect(page.locator(".message.assistant")).to_have_count(replies)
        wait_until_done(page)


def test_they_agree_after_sending_editing_and_regenerating(pages: list[Page]) -> None:
    desk, other, phone = pages
    agree(pages)

    desk.fill("#text", "Sent from the desk")
    desk.keyboard.press("Enter")
    all_done(pages, 2)
    assert len(agree(pages)["messages"]) == 4

    phone.locator(".message.user").last.get_by_role("button", name="Edit").click()
    phone.locator(".editor textarea").fill("Edited on the phone")
    phone.get_by_role("button", name="Save and send").click()
    for page in pages:
        expect(page.locator(".message.user .text").last).to_have_text("Edited on the phone")
    all_done(pages, 2)
    agree(pages)

    other.locator(".message.assistant").last.get_by_role("button", name="Regenerate").click()
    for page in pages:
        expect(page.locator(".message.assistant .versions").last).to_contain_text("2/2")
    all_done(pages, 2)
    agree(pages)


def test_they_agree_after_stopping_on_the_phone(pages: list[Page], session_id: str, api: Api) -> None:
    api("POST", f"/sessions/{session_id}/messages", {"content": "A long one", "simulate": VISIBLE})
    for page in pages:
        expect(page.locator(".message.assistant .text").last).not_to_be_empty()

    pages[2].locator("#send[data-does=stop]").click()

    for page in pages:
        expect(page.locator(".message.assistant").last).to_have_attribute("data-state", "cancelled")
    assert agree(pages)["messages"][-1]["text"]


def test_they_agree_after_renaming_and_archiving(pages: list[Page], session_id: str, api: Api) -> None:
    api("PATCH", f"/sessions/{session_id}", {"title": "After"})
    for page in pages:
        expect(page.locator("#title")).to_have_text("After")

    api("PATCH", f"/sessions/{session_id}", {"state": "archived"})
    for page in pages:
        expect(page.locator("#put-away")).to_be_visible()
    agree(pages)


def test_a_deleted_chat_is_gone_in_every_tab(open_page: Open, ask: Ask, api: Api) -> None:
    session_id = ask()
    pages = [open_page(f"/chat/{session_id}/"), open_page(f"/chat/{session_id}/", **PHONE)]
    for page in pages:
        wait_until_done(page)

    api("DELETE", f"/sessions/{session_id}")

    for page in pages:
        expect(page.locator("#banner")).to_have_text(re.compile("gone"))
