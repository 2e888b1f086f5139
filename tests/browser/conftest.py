"""A reader's browser, signed in at the standalone server, and the server's REST API."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.chat import ENDED_MS, FLAGS, QUICK, Api, Open, state_after

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return a browser; it ends with the module, because its loop would be in the way of asynchronous tests."""
    assert CHROMIUM, "The browser tests need Chromium; install Debian's chromium."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in(standalone: Any) -> Any:
    """Return a signed-in browser's state."""
    return state_after(standalone.login_link)


@pytest.fixture
def open_page(chromium: Browser, signed_in: Any, standalone: Any) -> Iterator[Open]:
    """Return a function that opens a page of the site; nothing may fail in it, but for `refused`, or leave the site."""
    contexts: list[BrowserContext] = []
    mistakes: list[str] = []

    def open_(
        path: str = "/chat/", *, before: Callable[[Page], None] | None = None, refused: str = "never", **options: Any
    ) -> Page:
        context = chromium.new_context(**({"locale": "en-US", "storage_state": signed_in} | options))
        context.set_default_timeout(ENDED_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.on("console", lambda told: is_bad(told) and refused not in told.text and mistakes.append(told.text))
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


def is_bad(told: ConsoleMessage) -> bool:
    """Is it one that nobody should see?"""
    return told.type in ("error", "warning")
