"""Files in the chat page: chosen, pasted, dropped, sent, refused."""

import base64
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat import Ask, Open, wait_until_done

pytestmark = pytest.mark.browser

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PUT = """([name, kind, data, how]) => {
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: kind }));
    const init = { bubbles: true, cancelable: true };
    const field = document.getElementById("text");
    if (how === "paste") field.dispatchEvent(new ClipboardEvent("paste", { ...init, clipboardData: transfer }));
    else
        for (const type of ["dragover", "drop"])
            field.dispatchEvent(new DragEvent(type, { ...init, dataTransfer: transfer }));
}"""


def put(page: Page, how: str, name: str, kind: str, data: bytes) -> None:
    page.evaluate(PUT, [name, kind, base64.b64encode(data).decode(), how])


def chips(page: Page) -> Any:
    return page.locator("#files .file:not(.uploading)")


def test_files_are_chosen_pasted_and_dropped_and_sent(open_page: Open) -> None:
    page = open_page("/chat/")

    page.set_input_files("#file", {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"# Notes"})
    expect(chips(page)).to_have_count(1)
    put(page, "paste", "shot.png", "image/png", PIXEL)
    expect(chips(page)).to_have_count(2)
    put(page, "drop", "data.csv", "text/csv", b"a,b")
    expect(chips(page)).to_have_count(3)
    page.get_by_role("button", name="Remove data.csv").click()
    expect(chips(page)).to_have_count(2)
    page.fill("#text", "What are these?")
    page.keyboard.press("Enter")
    wait_until_done(page)

    expect(page.locator("#files")).to_be_hidden()
    expect(page.locator(".message.user .attached .file")).to_have_count(2)
    assert page.locator(".attached img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    page.reload()
    expect(page.locator(".message.user .attached .name")).to_have_text("notes.md")


def test_a_picture_alone_can_be_sent(open_page: Open) -> None:
    page = open_page("/chat/")

    put(page, "paste", "shot.png", "image/png", PIXEL)
    expect(chips(page)).to_have_count(1)
    page.click("#send")
    wait_until_done(page)

    expect(page.locator("#title")).to_have_text("shot.png")


def test_two_files_dropped_on_a_new_chat_make_one_chat(open_page: Open) -> None:
    page = open_page("/chat/")
    before = page.locator(".session").count()

    put(page, "drop", "a.txt", "text/plain", b"a")
    put(page, "drop", "b.txt", "text/plain", b"b")

    expect(chips(page)).to_have_count(2)
    expect(page.locator(".session")).to_have_count(min(before + 1, 101))


def test_what_is_no_picture_and_no_text_is_refused_in_words(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask()}/", refused="422")
    wait_until_done(page)

    put(page, "drop", "program.exe", "image/png", b"MZ\x90\x00")

    expect(page.locator("#banner")).to_have_text(re.compile("program.exe is neither a picture"))
    expect(page.locator("#files .file")).to_have_count(0)
