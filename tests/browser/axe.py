"""Looks for violations of WCAG 2.2 AA with axe, in every theme, width and language."""

from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE = {"width": 390, "height": 844}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE},
    "dark phone in Japanese": {"viewport": PHONE, "color_scheme": "dark", "locale": "ja-JP"},
}


def violations(page: Page, within: str = "html") -> list[str]:
    """Return what axe finds in a part of the page."""
    # Through the debugger, not as a script element: the page's policy would bar that, and shall.
    page.evaluate(f"() => {{ {AXE} }}")
    found = page.evaluate("([within, values]) => axe.run(within, {runOnly: {type: 'tag', values}})", [within, TAGS])
    return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]
