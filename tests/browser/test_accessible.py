"""No violation of WCAG 2.2 AA that axe can find, in any state of the page, theme, width and language."""

import pytest
from playwright.sync_api import expect

from tests.browser.axe import LOOKS, violations
from tests.browser.chat import LONG, QUICK, Api, Ask, Open, wait_until_done

pytestmark = pytest.mark.browser

EVERYTHING = """# Head

Some **bold** words, `code`, a [link](https://a.example/) and $x^2$.

```python
def f(x: int) -> str:  # a comment
    return f"{x}" * 2
```

| a | b |
|--:|---|
| 1 | 2 |

> quoted

1. one
2. two
"""


@pytest.mark.parametrize("look", LOOKS)
def test_a_conversation(open_page: Open, ask: Ask, api: Api, look: str) -> None:
    session_id = ask("Question", simulate=QUICK | {"text": EVERYTHING})
    page = open_page(f"/chat/{session_id}/", **LOOKS[look])
    wait_until_done(page)
    api("POST", f"/sessions/{session_id}/messages", {"content": "Again", "simulate": QUICK | {"fail": "refusal"}})
    expect(page.locator(".failure")).to_be_visible()

    assert violations(page) == []


@pytest.mark.parametrize("look", LOOKS)
def test_an_answer_that_is_being_written(open_page: Open, ask: Ask, look: str) -> None:
    page = open_page(f"/chat/{ask(simulate=LONG)}/", **LOOKS[look])
    expect(page.locator(".progress")).to_contain_text("sim-1")

    assert violations(page) == []
    page.click("#send")
    expect(page.locator(".message.assistant")).to_have_attribute("data-state", "cancelled")


@pytest.mark.parametrize("look", LOOKS)
def test_the_empty_page_its_menus_and_dialogs(open_page: Open, ask: Ask, look: str) -> None:
    ask("Something to list")
    page = open_page("/chat/", **LOOKS[look])
    is_phone = "viewport" in LOOKS[look]
    found = violations(page)

    if is_phone:
        page.click("#open-sidebar")
        expect(page.locator("#sidebar")).to_be_in_viewport(ratio=1)
    page.click("#select")
    page.locator(".session input").first.check()
    found += violations(page)
    page.locator(".session .more").first.click()
    found += violations(page, "#menu")
    page.keyboard.press("Escape")
    page.click("#bulk-delete")
    found += violations(page)

    assert found == []


def test_the_list_of_shortcuts_and_the_banner(open_page: Open) -> None:
    page = open_page("/chat/")
    page.click("#help")
    found = violations(page)
    page.keyboard.press("Escape")
    page.evaluate("""() => {
        const banner = document.getElementById("banner");
        banner.textContent = "Connection lost. Reconnecting…";
        banner.hidden = false;
    }""")

    assert found + violations(page) == []


def test_the_stream_is_not_announced_and_its_state_is(open_page: Open, ask: Ask) -> None:
    page = open_page(f"/chat/{ask(simulate=QUICK)}/")
    wait_until_done(page)

    expect(page.locator("#transcript")).to_have_attribute("aria-live", "off")
    live = page.locator("[role=status]:visible, [aria-live=polite]").evaluate_all("all => all.map(each => each.id)")
    assert live == ["status"]
    expect(page.locator("#banner")).to_have_attribute("role", "alert")


@pytest.mark.parametrize("width", [390, 1280])
def test_what_is_pressed_is_at_least_24_pixels_large(open_page: Open, ask: Ask, width: int) -> None:
    page = open_page(f"/chat/{ask(simulate=QUICK)}/", viewport={"width": width, "height": 844})
    wait_until_done(page)

    small = page.locator("button:visible, a:visible, select:visible, input:visible").evaluate_all("""all => all
        .filter(each => !each.closest(".text"))
        .map(each => [each.id || each.textContent, each.getBoundingClientRect()])
        .filter(([, box]) => box.width > 1 && (box.width < 24 || box.height < 24))
        .map(([name, box]) => `${name} ${box.width}x${box.height}`)""")

    assert small == []
