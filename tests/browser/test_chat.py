"""The chat page in a real Chromium, served by a real `manage.py standalone`."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect, sync_playwright

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
ENDED_MS = 20_000
LONG = {"output_tokens": 3000, "latency_ms": 0, "tokens_per_second": 60}
VISIBLE = {"output_tokens": 240, "latency_ms": 0, "tokens_per_second": 80}
QUICK = {"latency_ms": 0, "tokens_per_second": 0}

Open = Callable[..., Page]
Api = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return a browser; it ends with the module, because its loop would be in the way of asynchronous tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, standalone: Any) -> Any:
    """Return the cookies of a signed-in reader; the link that makes them works once."""
    context = chromium.new_context()
    context.new_page().goto(standalone.login_link)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def open_page(chromium: Browser, signed_in: Any, standalone: Any) -> Iterator[Open]:
    """Return a function that opens a page of the site; nothing may fail in it or leave the site."""
    contexts: list[BrowserContext] = []
    mistakes: list[str] = []

    def open_(path: str = "/chat/", *, before: Callable[[Page], None] | None = None, **options: Any) -> Page:
        context = chromium.new_context(**({"locale": "en-US", "storage_state": signed_in} | options))
        context.set_default_timeout(ENDED_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and mistakes.append(message.text))
        page.on("request", lambda request: request.url.startswith(standalone.url) or mistakes.append(request.url))
        if before:
            before(page)
        page.goto(standalone.url + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert mistakes == []


@pytest.fixture
def api(standalone: Any) -> Api:
    """Return a function that calls the chat's REST API."""

    def call(method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {standalone.api_key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{standalone.url}/api/v1/chat{path}", data, headers, method=method)
        with urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    return call


@pytest.fixture
def ask(api: Api) -> Callable[..., str]:
    """Return a function that makes a session with one question and returns the session's id."""

    def make(content: str = "Tell me a story", simulate: dict[str, Any] = QUICK, **session: Any) -> str:
        session_id: str = api("POST", "/sessions", session)["id"]
        api("POST", f"/sessions/{session_id}/messages", {"content": content, "simulate": simulate})
        return session_id

    return make


def answer_of(page: Page) -> Any:
    return page.locator(".message.assistant .text").last


def wait_until_done(page: Page) -> None:
    expect(page.locator(".message.assistant").last).to_have_attribute("data-state", "done", timeout=ENDED_MS)


def reply_of(api: Api, session_id: str) -> dict[str, Any]:
    newest: dict[str, Any] = api("GET", f"/sessions/{session_id}/messages?limit=1")["data"][0]
    return newest


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


def test_an_answer_grows_while_it_is_written(open_page: Open, ask: Callable[..., str]) -> None:
    page = open_page(f"/chat/{ask(simulate=LONG)}/")

    expect(answer_of(page)).not_to_be_empty()
    before = len(answer_of(page).inner_text())
    page.wait_for_function(f"document.querySelector('.message.assistant .text').textContent.length > {before + 50}")

    expect(page.locator(".progress")).to_contain_text("Generating · simulator/sim-1")
    expect(page.locator("#send")).to_have_text("Stop")
    page.click("#send")


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_stop_stops_and_keeps_what_came(open_page: Open, ask: Callable[..., str], api: Api, way: str) -> None:
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


def test_a_reload_in_the_middle_ends_with_the_whole_answer(open_page: Open, ask: Callable[..., str], api: Api) -> None:
    session_id = ask(simulate=VISIBLE)
    page = open_page(f"/chat/{session_id}/")
    expect(answer_of(page)).not_to_be_empty()

    page.reload()
    expect(answer_of(page)).not_to_be_empty()
    wait_until_done(page)

    assert answer_of(page).inner_text().split() == reply_of(api, session_id)["content"].split()


def test_stop_works_after_a_reload(open_page: Open, ask: Callable[..., str]) -> None:
    page = open_page(f"/chat/{ask(simulate=LONG)}/")
    expect(answer_of(page)).not_to_be_empty()

    page.reload()
    page.locator("#send[data-does=stop]").click()

    expect(page.locator(".message.assistant")).to_have_attribute("data-state", "cancelled")


def test_a_lost_connection_is_told_and_comes_back_without_a_gap(
    open_page: Open, ask: Callable[..., str], api: Api
) -> None:
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


def test_a_failure_says_why_and_retry_writes_another_version(open_page: Open, ask: Callable[..., str]) -> None:
    page = open_page(f"/chat/{ask(simulate=QUICK | {'fail': 'refusal'})}/")

    expect(page.locator(".failure span")).to_have_text("The provider refused the content.")
    expect(page.locator("#status")).not_to_have_text("Generating")
    page.get_by_role("button", name="Retry").click()
    wait_until_done(page)

    expect(page.locator(".message.assistant .versions")).to_contain_text("2/2")
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator(".failure span")).to_have_text("The provider refused the content.")


def test_an_edited_message_keeps_the_old_version(open_page: Open, ask: Callable[..., str]) -> None:
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


def test_a_message_to_an_older_branch_stays_on_it(open_page: Open, ask: Callable[..., str], api: Api) -> None:
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


def test_other_tabs_follow(open_page: Open, ask: Callable[..., str]) -> None:
    session_id = ask()
    watcher, writer = open_page(f"/chat/{session_id}/"), open_page(f"/chat/{session_id}/")
    wait_until_done(watcher)

    writer.fill("#text", "Seen everywhere?")
    writer.keyboard.press("Enter")

    expect(watcher.locator(".message.user .text").last).to_have_text("Seen everywhere?")
    expect(watcher.locator(".message.assistant")).to_have_count(2)
    wait_until_done(watcher)


def test_nothing_in_a_conversation_runs(open_page: Open, ask: Callable[..., str]) -> None:
    hostile = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    simulate = QUICK | {"text": f"{hostile}\n\n![x](https://evil.example/?d=1)\n\n[x](javascript:alert(1))"}

    page = open_page(f"/chat/{ask(hostile, simulate=simulate, title=hostile)}/")
    wait_until_done(page)

    expect(page.locator(".message img, .message script, .session img")).to_have_count(0)
    expect(page.locator(".message.user .text")).to_have_text(hostile)
    assert page.title() != "owned"


def test_code_can_be_copied(open_page: Open, ask: Callable[..., str]) -> None:
    page = open_page(
        f"/chat/{ask(simulate=QUICK | {'text': '```python\nprint(1 < 2)\n```'})}/",
        permissions=["clipboard-read", "clipboard-write"],
    )
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


def test_the_page_speaks_japanese(open_page: Open, ask: Callable[..., str]) -> None:
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


def test_a_phone_shows_everything_and_the_list_as_a_drawer(open_page: Open, ask: Callable[..., str]) -> None:
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


def test_a_chat_is_renamed_archived_found_and_deleted(open_page: Open, ask: Callable[..., str]) -> None:
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
    open_page: Open, ask: Callable[..., str], api: Api
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
