"""What an operator finds out, in how many taps, and how the pages keep themselves fresh."""

import csv
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import PHONE
from tests.browser.chat import Open
from tests.browser.ops.conftest import Finger, Rest, in_days

pytestmark = pytest.mark.browser


@pytest.fixture
def paused(rest: Rest) -> Any:
    """Pause the simulator for a test."""
    rest("POST", "/queues/simulator/pause", {"reason": "night shift"})
    yield
    rest("POST", "/queues/simulator/resume", {"reason": "over"})


def test_at_night_a_phone_tells_what_is_wrong_and_what_died_of_it(
    open_page: Open, history: dict[str, str], paused: None, finger: Finger
) -> None:
    page = open_page("/admin/ops/", viewport=PHONE)
    expect(page.locator(".alerts")).to_contain_text("simulator is paused: night shift")

    finger.tap(page.get_by_role("rowheader").get_by_role("link", name="simulator"))
    expect(page.locator(".state")).to_contain_text("night shift")
    expect(page.get_by_role("heading", name="Routes by here")).to_be_attached()
    finger.tap(page.get_by_role("navigation", name="Console").get_by_role("link", name="Dead letters"))
    finger.tap(page.get_by_role("rowheader").get_by_role("link", name="bad_request"))
    finger.tap(page.locator(f'a[href$="{history["failed"]}/"]'))

    expect(page.locator(".errornote")).to_contain_text("bad_request")
    assert finger.taps <= 4


def test_a_waiting_task_says_why(open_page: Open, history: dict[str, str], finger: Finger) -> None:
    page = open_page("/admin/ops/", viewport=PHONE)

    finger.tap(page.get_by_role("navigation", name="Console").get_by_role("link", name="Queues"))
    finger.tap(page.locator("section", has_text="Parked, by reason").get_by_role("link", name="simulator"))
    finger.tap(page.locator(f'a[href$="{history["scheduled"]}/"]'))

    expect(page.get_by_role("region", name="Why is it waiting?")).to_contain_text("scheduled for later")
    assert finger.taps <= 3


def test_at_the_end_of_the_month_costs_are_found_narrowed_and_taken_away(
    open_page: Open, history: dict[str, str], finger: Finger, tmp_path: Path
) -> None:
    page = open_page("/admin/ops/")

    finger.tap(page.get_by_role("navigation", name="Console").get_by_role("link", name="Costs"))
    finger.tap(page.get_by_role("region", name="User").get_by_role("link", name="admin"))
    finger.tap(page.get_by_role("region", name="Model").get_by_role("link", name="sim-1"))
    with page.expect_download() as download:
        finger.tap(page.get_by_role("link", name="Download CSV"))

    download.value.save_as(tmp_path / "costs.csv")
    with (tmp_path / "costs.csv").open(encoding="utf-8-sig") as file:
        total = sum((Decimal(row["cost_usd"]) for row in csv.DictReader(file)), Decimal(0))
    expect(page.locator(".pills span").first).to_have_attribute("title", f"{total.normalize():f} USD")
    assert total > 0
    assert finger.taps <= 5


def test_payloads_are_closed_until_they_are_opened(open_page: Open, history: dict[str, str]) -> None:
    page = open_page(f"/admin/ops/tasks/{history['failed']}/")
    secret = page.get_by_text("Plan my secret holiday.")
    expect(secret).to_be_hidden()

    page.get_by_text("Input", exact=True).click()

    expect(secret).to_be_visible()


def test_a_view_can_be_kept(open_page: Open, history: dict[str, str]) -> None:
    page = open_page("/admin/ops/tasks/")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Show").click()
    rows = page.get_by_role("rowheader").all_inner_texts()

    again = open_page(page.url.removeprefix(page.url.split("/admin")[0]))

    assert rows
    assert again.get_by_role("rowheader").all_inner_texts() == rows
    expect(again.get_by_label("State")).to_have_value("failed")


def test_the_overview_keeps_itself_fresh_and_what_was_opened_open(
    open_page: Open, task: Callable[..., str], history: dict[str, str]
) -> None:
    page = open_page("/admin/ops/")
    page.evaluate("window.isTheSamePage = true")
    page.locator("#ended-numbers summary").click()
    parked = page.locator(".pills li", has_text="parked").locator("strong")
    before = int(parked.inner_text())

    task(run_at=in_days(20))

    expect(parked).to_have_text(str(before + 1), timeout=20_000)
    assert page.evaluate("window.isTheSamePage")
    expect(page.locator("#ended-numbers")).to_have_attribute("open", "")
    expect(page.locator("#ended-numbers summary")).to_be_focused()


def asks(page: Page) -> list[str]:
    """Return the list that the page's own questions go into."""
    found: list[str] = []
    page.on("request", lambda request: "x-fragment" in request.headers and found.append(request.url))
    return found


def test_nothing_is_asked_while_nobody_looks_or_when_it_is_off(open_page: Open, history: dict[str, str]) -> None:
    page = open_page("/admin/ops/", before=lambda page: page.clock.install())
    asked = asks(page)
    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", {get: () => window.isAway, configurable: true});
            window.isAway = true;
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    expect(page.locator("#live-state")).to_have_text("paused")
    page.clock.run_for(60_000)
    assert asked == []

    page.evaluate("() => { window.isAway = false; document.dispatchEvent(new Event('visibilitychange')); }")
    expect(page.locator("#live-state")).to_contain_text("updated")
    assert len(asked) == 1
    page.get_by_label("Live").select_option("0")
    page.clock.run_for(60_000)
    assert len(asked) == 1
    page.reload()
    expect(page.get_by_label("Live")).to_have_value("0")


def test_a_page_that_is_not_reached_says_so_and_comes_back(open_page: Open, history: dict[str, str]) -> None:
    page = open_page("/admin/ops/", before=lambda page: page.clock.install(), refused="ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    page.clock.run_for(6_000)
    expect(page.locator("#live-state")).to_contain_text("not reached since")

    page.context.set_offline(False)
    page.clock.run_for(6_000)

    expect(page.locator("#live-state")).to_contain_text("updated")


def test_what_is_chosen_stays_chosen_when_the_page_refreshes_itself(
    open_page: Open, task: Callable[..., str], history: dict[str, str]
) -> None:
    page = open_page("/admin/ops/dead-letters/")
    page.get_by_label("Provider").fill("simu")
    page.get_by_role("heading", level=1).click()

    with page.expect_response(lambda answer: "x-fragment" in answer.request.headers, timeout=30_000):
        pass

    expect(page.get_by_label("Provider")).to_have_value("simu")
