"""What an operator mends, in how many taps, on a phone too."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import PHONE
from tests.browser.chat import Open
from tests.browser.ops.conftest import Finger, Rest, in_days
from tests.flows.client import eventually

pytestmark = pytest.mark.browser

DESK = {"width": 1280, "height": 800}
every_width = pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])


@pytest.fixture(autouse=True)
def _as_before(rest: Rest) -> Any:
    """Leave the simulator to others as it was."""
    yield
    rest("POST", "/queues/simulator/resume", {})
    rest("POST", "/providers/simulator/circuit", {"mode": "closed"})


def place(page: Page, name: str) -> Any:
    """Return the link of the console's navigation."""
    return page.get_by_role("navigation", name="Console").get_by_role("link", name=name)


def said(page: Page) -> Any:
    """Return what the page says was done."""
    return page.locator(".messagelist")


@every_width
def test_at_night_work_is_sent_elsewhere_the_circuit_given_back_and_what_died_sent_again(
    open_page: Open, history: dict[str, str], task: Callable[..., str], rest: Rest, finger: Finger, viewport: Any
) -> None:
    dead = task("Die.", simulate={"fail": "refusal"})
    eventually(lambda: rest("GET", f"/tasks/{dead}")["status"] == "failed", "the task has died")
    page = open_page("/admin/ops/", viewport=viewport)

    finger.tap(page.get_by_role("rowheader").get_by_role("link", name="simulator"))
    finger.tap(page.get_by_role("link", name="Force fallback"))
    expect(page.get_by_text("nowhere: they wait")).to_be_visible()
    page.get_by_label("Reason").fill("They are down.")
    finger.tap(page.get_by_role("button", name="Force fallback"))
    expect(said(page)).to_contain_text("Work of simulator goes elsewhere for 60 minutes.")
    expect(page.locator(".state")).to_contain_text("Circuit open")

    finger.tap(page.get_by_role("link", name="Circuit", exact=True))
    finger.tap(page.get_by_label("automatic, and closed now"))
    page.get_by_label("Reason").fill("They are back.")
    finger.tap(page.get_by_role("button", name="Force a circuit"))
    expect(page.locator(".state")).to_contain_text("Available")

    finger.tap(place(page, "Dead letters"))
    row = page.get_by_role("row").filter(has_text="content_refused")
    finger.tap(row.get_by_role("link", name="Redrive"))
    expect(page.get_by_text("can be sent there")).to_be_visible()
    page.get_by_label("Tasks a second").fill("5")
    page.get_by_label("Reason").fill("They are back.")
    finger.tap(page.get_by_role("button", name="Start"))

    expect(page.get_by_text("finished")).to_be_visible()
    expect(page.locator(f'a[href$="{dead}/"]')).to_be_visible()
    assert finger.taps <= 12
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


@every_width
def test_for_maintenance_a_provider_is_drained_until_an_hour_from_now(
    open_page: Open, history: dict[str, str], finger: Finger, viewport: Any
) -> None:
    page = open_page("/admin/ops/providers/simulator/", viewport=viewport)

    finger.tap(page.get_by_role("link", name="Drain"))
    page.get_by_label("For", exact=True).select_option("1 hour")
    page.get_by_label("Reason").fill("Their maintenance.")
    finger.tap(page.get_by_role("button", name="Drain a provider"))

    expect(page.locator(".state")).to_contain_text("Their maintenance. (admin)")
    expect(page.locator(".state")).to_contain_text("in 59 min")
    finger.tap(place(page, "Overview"))
    expect(page.get_by_role("row").filter(has_text="simulator").first).to_contain_text("Paused")
    assert finger.taps <= 3


@every_width
def test_what_hangs_is_taken_from_its_worker(
    open_page: Open, task: Callable[..., str], rest: Rest, finger: Finger, viewport: Any
) -> None:
    hanging = task("Hang.", simulate={"latency_ms": 60_000})
    eventually(lambda: rest("GET", f"/tasks/{hanging}")["status"] == "processing", "the task runs")
    page = open_page("/admin/ops/workers/", viewport=viewport)

    finger.tap(page.get_by_role("link", name="Release all of these"))
    expect(page.get_by_text("whatever the old worker still writes is refused")).to_be_visible()
    page.get_by_label("Reason").fill("It hangs.")
    finger.tap(page.get_by_role("button", name="Release leases"))

    expect(page.get_by_text("finished")).to_be_visible()
    attempts = rest("GET", f"/tasks/{hanging}")["attempts"]
    assert attempts[0]["status"] == "lost"
    assert finger.taps <= 3
    rest("POST", f"/tasks/{hanging}/cancel")


@every_width
def test_one_users_work_is_moved_up(
    open_page: Open, history: dict[str, str], task: Callable[..., str], rest: Rest, finger: Finger, viewport: Any
) -> None:
    waiting = task(run_at=in_days(20))
    page = open_page("/admin/ops/tasks/", viewport=viewport)

    page.get_by_label("User", exact=True).fill("admin")
    page.get_by_label("State").select_option("pending")
    finger.tap(page.get_by_role("button", name="Show"))
    finger.tap(page.get_by_role("link", name="Change priority of all of these"))
    page.get_by_label("New class").select_option("1")
    page.get_by_label("Reason").fill("They wait for it.")
    finger.tap(page.get_by_role("button", name="Change priorities"))

    expect(page.get_by_text("finished")).to_be_visible()
    assert rest("GET", f"/tasks/{waiting}")["priority"] == "high"
    assert finger.taps <= 4


@every_width
def test_a_limit_is_looked_at_changed_for_a_while_and_noted(
    open_page: Open, history: dict[str, str], finger: Finger, viewport: Any
) -> None:
    page = open_page("/admin/ops/limits/", viewport=viewport)

    finger.tap(page.get_by_role("row").filter(has_text="simulator").get_by_role("link", name="Change").first)
    page.get_by_label("Requests a minute").fill("4000")
    page.get_by_label("Back to the old ones after").select_option("15 minutes")
    page.get_by_label("Reason").fill(f"Slower at {viewport['width']}.")
    finger.tap(page.get_by_role("button", name="Look what it would do"))
    expect(page.get_by_label("Requests a minute")).to_have_value("4000")
    finger.tap(page.get_by_role("button", name="Change limits"))

    expect(said(page)).to_contain_text("The limits of simulator are changed.")
    assert finger.taps <= 3
    place(page, "Audit").click()
    expect(page.get_by_role("row").filter(has_text=f"Slower at {viewport['width']}.")).to_contain_text("admin")


def test_a_double_click_acts_once(open_page: Open, history: dict[str, str], rest: Rest) -> None:
    page = open_page("/admin/ops/do/pause-provider/?provider=simulator")
    page.get_by_label("Reason").fill("Clicked twice.")

    page.get_by_role("button", name="Pause a provider").dblclick()

    expect(page.locator(".state")).to_contain_text("Clicked twice.")
    page.goto(page.url.split("/admin")[0] + "/admin/ops/audit/?action=pause-provider")
    expect(page.get_by_role("row").filter(has_text="Clicked twice.")).to_have_count(1)


def test_a_wrong_field_is_told_beside_it_and_what_was_filled_in_stays(open_page: Open, history: dict[str, str]) -> None:
    page = open_page("/admin/ops/do/force-fallback/?provider=simulator", refused="422")
    page.get_by_label("Reason").fill("They are down.")
    page.get_by_label("For how many minutes").fill("5000")
    page.evaluate("document.querySelector('.wish-form').noValidate = true")

    page.get_by_role("button", name="Force fallback").click()

    expect(page.locator(".errorlist")).to_contain_text("1440")
    expect(page.get_by_label("Reason")).to_have_value("They are down.")
