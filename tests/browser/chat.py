"""What the tests of the chat page have in common."""

from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

from playwright.sync_api import Page, expect

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
ENDED_MS = 20_000
LONG = {"output_tokens": 3000, "latency_ms": 0, "tokens_per_second": 60}
VISIBLE = {"output_tokens": 240, "latency_ms": 0, "tokens_per_second": 80}
QUICK: dict[str, Any] = {"latency_ms": 0, "tokens_per_second": 0}

Open = Callable[..., Page]
Api = Callable[..., Any]
Ask = Callable[..., str]


def state_after(login_link: str) -> Any:
    """Follow a login link, which works once, and return the state of a browser that did."""
    jar = CookieJar()
    build_opener(HTTPCookieProcessor(jar)).open(login_link, timeout=30).close()
    kept = ("name", "value", "domain", "path")
    cookies = [{name: getattr(cookie, name) for name in kept} for cookie in jar]
    return {"cookies": [cookie | {"domain": "127.0.0.1"} for cookie in cookies]}


def answer_of(page: Page) -> Any:
    return page.locator(".message.assistant .text").last


def wait_until_done(page: Page) -> None:
    expect(page.locator(".message.assistant").last).to_have_attribute("data-state", "done", timeout=ENDED_MS)


def reply_of(api: Api, session_id: str) -> dict[str, Any]:
    newest: dict[str, Any] = api("GET", f"/sessions/{session_id}/messages?limit=1")["data"][0]
    return newest
