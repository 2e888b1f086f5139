"""Shortcuts, their list, their switch; and many chats at once."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.chat import LONG, QUICK, Api, Ask, Open, answer_of, wait_until_done

pytestmark = pytest.mark.browser


def test_slash_goes_to_the_message_and_is_not_typed(open_page: Open) -> None:
    page = open_page("/chat/")
    page.locator("#theme").focus()

    page.keyboard.press("/")
    page.keyboard.type("a/b?")

    expect(page.locator("#text")).to_be_focused()
    expect(page.locator("#text")).to_have_value("a/b?")
    expect(page.locator("#help-dialog")).to_be_hidden()


def test_a_question_mark_lists_the_shortcuts_and_escape_closes_the_list(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask(simulate=LONG)}/")
    expect(answer_of(page)).not_to_be_empty()
    page.locator("#theme").focus()

    page.keyboard.press("?")
    expect(page.locator("#help-dialog")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.locator("#help-dialog")).to_be_hidden()
    expect(page.locator(".message.assistant")).to_have_attribute("data-state", "pending")
    page.keyboard.press("Escape")
    expect(page.locator(".message.assistant")).to_have_attribute("data-state", "cancelled")


def test_a_new_chat_is_a_shortcut_away(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask()}/")

    page.keyboard.press("Control+Shift+O")

    expect(page).to_have_url(re.compile(r"/chat/$"))


def test_shortcuts_can_be_switched_off_for_good(open_page: Open) -> None:
    page = open_page("/chat/")
    page.click("#help")
    page.uncheck("#shortcuts-on")
    page.get_by_role("button", name="Close", exact=True).click()

    page.reload()
    page.locator("#theme").focus()
    page.keyboard.press("?")

    expect(page.locator("#help-dialog")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#text")).not_to_be_focused()


def test_chosen_chats_are_archived_and_deleted_together(open_page: Open, ask: Ask, api: Api) -> None:
    ids = [ask(f"wombat {place}", title=f"Wombat {place}") for place in range(4)]
    page = open_page("/chat/")
    page.fill("#search", "wombat")
    expect(page.locator(".session")).to_have_count(4)

    page.click("#select")
    for place in (0, 1):
        page.get_by_role("checkbox", name=f"Choose Wombat {place}").check()
    expect(page.locator("#chosen")).to_have_text("2 chosen")
    page.click("#bulk-archive")
    expect(page.locator(".session")).to_have_count(2)

    page.click("#select")
    page.click("#select-all")
    page.click("#bulk-delete")
    expect(page.locator("#bulk-delete-count")).to_have_text("2 chosen")
    page.locator("#bulk-delete-form button[type=submit]").click()
    expect(page.locator(".session")).to_have_count(0)

    left = [each["id"] for each in api("GET", "/sessions?limit=100&q=wombat")["data"]]
    assert sorted(left) == sorted(ids[:2])


def test_chosen_chats_are_exported_together(open_page: Open, ask: Ask) -> None:
    for place in range(2):
        ask(f"quokka {place}", title=f"Quokka {place}")
    page = open_page("/chat/")
    page.fill("#search", "quokka")
    expect(page.locator(".session")).to_have_count(2)
    page.click("#select")
    page.click("#select-all")

    with page.expect_download() as download:
        page.click("#bulk-export")

    text = download.value.path().read_text(encoding="utf-8")
    assert download.value.suggested_filename == "chats.json"
    assert "Quokka 0" in text
    assert "Quokka 1" in text


@pytest.mark.parametrize("wanted", ["md", "json"])
def test_a_chat_is_exported_in_either_form(open_page: Open, ask: Ask, wanted: str) -> None:
    page = open_page(f"/chat/{ask('Take me with you')}/")
    wait_until_done(page)
    page.click("#export")

    with page.expect_download() as download:
        page.locator(f"#export-menu a[data-format={wanted}]").click()

    assert "Take me with you" in download.value.path().read_text(encoding="utf-8")


def test_a_message_that_waits_for_another_can_be_taken_back(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask(simulate=LONG)}/")
    expect(answer_of(page)).not_to_be_empty()

    page.fill("#text", "And then?")
    page.keyboard.press("Enter")
    second = page.locator(".message.assistant").nth(1)
    expect(second.locator(".progress")).to_contain_text("an earlier reply comes first")
    second.get_by_role("button", name="Cancel").click()

    expect(second).to_have_attribute("data-state", "cancelled")
    expect(page.locator(".message.assistant").first).to_have_attribute("data-state", "pending")
    page.keyboard.press("Escape")
    expect(page.locator(".message.assistant").first).to_have_attribute("data-state", "cancelled")


def test_the_second_reply_begins_when_the_first_has_ended(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask(simulate=QUICK | {'output_tokens': 120, 'tokens_per_second': 60})}/")
    expect(answer_of(page)).not_to_be_empty()

    page.fill("#text", "And then?")
    page.keyboard.press("Enter")
    second = page.locator(".message.assistant").nth(1)
    expect(second.locator(".progress")).to_contain_text("an earlier reply comes first")
    expect(second.locator(".text")).to_be_empty()

    wait_until_done(page)
    expect(page.locator(".message.assistant").first).to_have_attribute("data-state", "done")
