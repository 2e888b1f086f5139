"""The whole corpus of hostile texts, said by both sides and streamed, in a real browser: nothing runs or loads."""

from typing import Any

import pytest
from playwright.sync_api import Dialog, expect

from tests.browser.chat import ENDED_MS, Api, Ask, Open, wait_until_done
from tests.chat.test_render import HOSTILE

pytestmark = pytest.mark.browser

GROUP = 16
STORABLE = [text.replace("\x00", "") for text in HOSTILE]


@pytest.mark.parametrize("place", range(0, len(STORABLE), GROUP))
def test_nothing_of_it_runs_or_loads_while_it_streams_or_afterwards(
    open_page: Open, ask: Ask, api: Api, place: int
) -> None:
    # That no request leaves the site, and that nothing is told on the console, is looked at by `open_page`.
    dialogs: list[str] = []
    group = STORABLE[place : place + GROUP]
    session_id = ask("Begin", simulate={"text": "ok"}, title=group[0])
    page = open_page(f"/chat/{session_id}/", before=lambda page: page.on("dialog", lambda each: refuse(each, dialogs)))
    wait_until_done(page)

    for text in group:
        simulate: dict[str, Any] = {"text": f"Hm.\n\n{text}\n\nSo: {text}", "latency_ms": 0, "tokens_per_second": 400}
        api("POST", f"/sessions/{session_id}/messages", {"content": text, "simulate": simulate})
    expect(page.locator(".message.assistant[data-state=done]")).to_have_count(len(group) + 1, timeout=3 * ENDED_MS)
    expect(page.locator(".message.user .text").last).to_have_text(group[-1])
    painted = page.locator(".text").evaluate_all("all => all.map(each => each.innerHTML)")
    page.reload()
    wait_until_done(page)

    assert dialogs == []
    assert (
        page.locator("#transcript :is(script, img, iframe, svg, style, link, form, input, object, embed)").count() == 0
    )
    assert page.locator(".text").evaluate_all("all => all.map(each => each.innerHTML)") == painted


def refuse(dialog: Dialog, dialogs: list[str]) -> None:
    dialogs.append(dialog.message)
    dialog.dismiss()
