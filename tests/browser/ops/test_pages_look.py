"""Every page of the console in every look: nothing for axe to find, nothing wider than a phone, nothing inline."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import LOOKS, PHONE, violations
from tests.browser.chat import Open

pytestmark = pytest.mark.browser

PAGES = {
    "overview": "",
    "provider": "providers/simulator/",
    "queues": "queues/",
    "queue": "queues/simulator/?state=parked",
    "tasks": "tasks/",
    "completed task": "tasks/{completed}/",
    "failed task": "tasks/{failed}/",
    "waiting task": "tasks/{scheduled}/",
    "dead letters": "dead-letters/",
    "letters": "dead-letters/?view=letters",
    "workers": "workers/",
    "limits": "limits/",
    "statistics": "statistics/",
    "costs": "costs/",
    "health": "health/",
    "audit": "audit/",
    "jobs": "jobs/",
    "pause": "do/pause-provider/?provider=simulator",
    "circuit": "do/force-circuit/?provider=simulator",
    "fallback": "do/force-fallback/?provider=simulator",
    "change limits": "do/set-limits/?provider=simulator",
    "cancel": "do/cancel-task/?task={scheduled}",
    "redrive": "do/redrive/?all=1",
    "nothing chosen": "do/discard/",
}
every_page = pytest.mark.parametrize("name", PAGES)


def opened(open_page: Open, history: dict[str, str], name: str, **look: object) -> Page:
    page = open_page("/admin/ops/" + PAGES[name].format(**history), **look)
    for hidden in page.locator("details").all():
        hidden.evaluate("each => { each.open = true; }")
    return page


@pytest.mark.parametrize("look", LOOKS)
@every_page
def test_axe_finds_nothing(open_page: Open, history: dict[str, str], name: str, look: str) -> None:
    page = opened(open_page, history, name, **LOOKS[look])

    assert violations(page) == []


@every_page
def test_nothing_is_wider_than_a_phone(open_page: Open, history: dict[str, str], name: str) -> None:
    page = opened(open_page, history, name, viewport=PHONE)

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_earlier_changes_are_not_wider_than_a_phone_either(open_page: Open, history: dict[str, str]) -> None:
    for ceiling in ("63", "64"):
        page = opened(open_page, history, "change limits", viewport=PHONE)
        page.get_by_label("Calls at once").fill(ceiling)
        page.get_by_label("Requests a minute").fill("")
        page.get_by_label("Reason").fill("W" * 120)
        page.get_by_role("button", name="Change limits").click()
        expect(page.locator(".messagelist")).to_be_visible()
    page = opened(open_page, history, "change limits", viewport=PHONE)

    expect(page.locator("details table")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@every_page
def test_what_is_tapped_is_large_enough(open_page: Open, history: dict[str, str], name: str) -> None:
    page = opened(open_page, history, name, viewport=PHONE)

    small = page.locator("#live a.button:visible, #live button:visible, #live select:visible, #live input:visible")
    boxes = [(each.evaluate("each => each.outerHTML"), each.bounding_box()) for each in small.all()]

    assert [html[:80] for html, box in boxes if box and (box["width"] < 24 or box["height"] < 24)] == []


def test_plain_admin_has_the_same_frame(open_page: Open, history: dict[str, str]) -> None:
    page = open_page("/admin/ai_tasks/aigenerationtask/")

    expect(page.get_by_role("navigation", name="Console")).to_contain_text("Dead letters")
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
