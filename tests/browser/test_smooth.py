"""An answer of 40 KB is written without a frame over 50 ms, and long chats open at once."""

import json
import sqlite3
import statistics
import time
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chat import Api, Ask, Open, answer_of, wait_until_done

pytestmark = pytest.mark.browser

LONGEST_TASK_MS = 50


def tasks_ms(trace: bytes) -> list[float]:
    """Return how long each task of the page's thread took: of its own time, since the tests may share the processor."""
    events = json.loads(trace)["traceEvents"]
    names = [each for each in events if each["name"] == "thread_name"]
    main = {(each["pid"], each["tid"]) for each in names if each["args"]["name"] == "CrRendererMain"}
    tasks = [each for each in events if each["name"] == "ThreadControllerImpl::RunTask" and "tdur" in each]
    return [each["tdur"] / 1000 for each in tasks if (each["pid"], each["tid"]) in main]


LINES = "".join(f"def step_{n}(x: int) -> str:\n    return f'{{x}} {n}'\n\n" for n in range(30))
CODE = f"```python\n{LINES}```\n\n"
BLOCK = "## Part\n\n" + "Some **bold** words and `code` in a paragraph that goes on for a while. " * 8 + "\n\n"
BLOCK += "| a | b |\n|--:|---|\n" + "| 1 | two |\n" * 6 + "\n" + "- item\n" * 6 + "\n$x^2$ and more.\n\n"
MIXED = ((BLOCK * 8 + CODE) * 9)[:40_000]
ONE_BLOCK = "```python\n" + "value = compute(1, 'two')  # and so on\n" * 1_050


@pytest.fixture
def long_chat(ask: Ask, standalone: Any) -> str:
    """A chat of 300 messages, written where the server keeps them."""
    session_id = ask("The first", title="Long")
    key = session_id.replace("-", "")
    columns = "session_id, number, role, state, content, client_id, cost_usd, answered_by, attachments, created_at, "
    columns += "id, parent_id"
    parent = None
    with closing(sqlite3.connect(standalone.folder / "tasuki.sqlite3", timeout=30)) as database, database:
        for number in range(3, 301):
            role = "user" if number % 2 else "assistant"
            row = (
                key,
                number,
                role,
                "done",
                f"Message {number}\n\n{BLOCK}",
                "",
                "",
                "",
                "[]",
                "2026-11-23",
                uuid4().hex,
                parent,
            )
            database.execute(f"INSERT INTO chat_chatmessage ({columns}) VALUES ({', '.join('?' * 12)})", row)
            parent = row[-2]
        database.execute("UPDATE chat_chatsession SET next_number = 301 WHERE id = ?", (key,))
    return session_id


@pytest.mark.parametrize("text", [MIXED, ONE_BLOCK], ids=["many blocks", "one block of code"])
def test_a_long_answer_is_written_without_a_long_task(
    open_page: Open, ask: Ask, api: Api, chromium: Browser, text: str
) -> None:
    assert len(text) >= 39_000
    session_id = ask("Short", simulate={"text": "ok"})
    page = open_page(f"/chat/{session_id}/")
    wait_until_done(page)
    chromium.start_tracing(page=page, categories=["toplevel"])

    simulate: dict[str, Any] = {"text": text, "latency_ms": 0, "tokens_per_second": 1_500}
    api("POST", f"/sessions/{session_id}/messages", {"content": "Long", "simulate": simulate})
    expect(page.locator(".message.assistant")).to_have_count(2)
    expect(answer_of(page)).not_to_be_empty()
    wait_until_done(page)

    took = tasks_ms(chromium.stop_tracing())
    assert len(took) > 100
    assert max(took) < LONGEST_TASK_MS


def test_a_chat_of_300_messages_opens_within_a_second(open_page: Open, long_chat: str) -> None:
    page = open_page(f"/chat/{long_chat}/")
    took: list[float] = []
    for _ in range(3):
        began = time.monotonic()
        page.reload(wait_until="commit")
        expect(page.locator(".message.assistant").last).to_be_in_viewport()
        took.append(time.monotonic() - began)

    expect(page.locator(".message")).to_have_count(50)
    assert statistics.median(took) < 1
