"""
Take pictures of what people see: the chat, step by step, and the operator's console.

`python -m tests.screenshots FOLDER` below `python -m tests.services --browser`; each in light, dark, on a phone and in
Japanese. The installation is a throw-away `manage.py standalone` with the demo's history.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from config.programs import Standalone
from config.settings import BASE_DIR
from tests.browser.chat import FLAGS, answer_of, state_after, wait_until_done
from tests.flows.client import Api

DESK, PHONE = {"width": 1280, "height": 820}, {"width": 390, "height": 844}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESK},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "device_scale_factor": 2},
    "japanese": {"viewport": DESK, "locale": "ja-JP"},
}
CONSOLE = (
    "",
    "providers/simulator/",
    "do/pause-provider/?provider=simulator",
    "queues/",
    "tasks/",
    "dead-letters/",
    "workers/",
    "limits/",
    "statistics/",
    "costs/",
    "health/",
    "audit/",
)
QUESTION = "How do I retry with full jitter in Python?"
ANSWER = """Wait a random time between zero and a bound that doubles:

```python
import random

def backoff(tries: int, base: float = 0.5, most: float = 60.0) -> float:
    return random.uniform(0, min(most, base * 2**tries))
```

| try | at most |
|----:|--------:|
| 0 | 0.5 s |
| 5 | 16 s |

The mean is half the bound: $E[w] = \\frac{1}{2} b \\cdot 2^n$.
"""
QUICK: dict[str, Any] = {"text": ANSWER, "latency_ms": 0, "tokens_per_second": 0}
SLOW = QUICK | {"tokens_per_second": 15}


class Camera:
    """Opens pages in one look and takes their pictures."""

    def __init__(self, browser: Browser, server: Standalone, folder: Path, look: str, state: Any) -> None:
        self._server, self._folder, self._look = server, folder, look
        self._api = Api(server.url, server.api_key)
        self._context = browser.new_context(**({"locale": "en-US", "storage_state": state} | LOOKS[look]))

    def open(self, path: str) -> Page:
        """Open a page of the site."""
        page = self._context.new_page()
        page.goto(self._server.url + path)
        return page

    def take(self, name: str, page: Page) -> None:
        """Write a picture and close the page."""
        page.screenshot(path=self._folder / f"{name}-{self._look}.png", animations="disabled")
        page.close()

    def chat(self, *answers: dict[str, Any]) -> Page:
        """Open a chat with a question for each of these simulated answers."""
        _, session = self._api.call("POST", "/chat/sessions", {})
        for simulate in answers:
            body = {"content": QUESTION, "simulate": simulate}
            self._api.call("POST", f"/chat/sessions/{session['id']}/messages", body)
        return self.open(f"/chat/{session['id']}/")


def take_chat(camera: Camera) -> None:
    """The chat from the empty page to a failure."""
    camera.take("chat-1-empty", camera.open("/chat/"))
    waiting = camera.chat(SLOW, QUICK)
    expect(waiting.locator(".message.assistant")).to_have_count(2)
    expect(waiting.locator(".message.assistant .text").first).not_to_be_empty()
    camera.take("chat-2-queued", waiting)
    writing = camera.chat(SLOW)
    expect(answer_of(writing)).to_have_text(re.compile("doubles.*import", re.DOTALL))
    camera.take("chat-3-streaming", writing)
    done = camera.chat(QUICK)
    wait_until_done(done)
    camera.take("chat-4-done", done)
    failed = camera.chat(QUICK | {"fail": "refusal"})
    expect(failed.locator(".failure")).to_be_visible()
    camera.take("chat-5-failed", failed)


def take_console(camera: Camera) -> None:
    """The console's pages."""
    for path in CONSOLE:
        name = re.split("[/?]", path.removeprefix("do/"))[0] or "overview"
        camera.take(f"ops-{name}", camera.open(f"/admin/ops/{path}"))


def main() -> None:
    """Take all pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tasuki-screenshots-") as name, sync_playwright() as playwright:
        environment = {"TASUKI_VAR": name}
        for command in (["migrate", "-v0"], ["demo"]):
            subprocess.run(
                [sys.executable, "manage.py", *command], cwd=BASE_DIR, env=os.environ | environment, check=True
            )
        server = Standalone(Path(name))
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=FLAGS)
        try:
            server.start()
            state = state_after(server.login_link)
            for look in LOOKS:
                camera = Camera(browser, server, folder, look, state)
                take_chat(camera)
                take_console(camera)
        finally:
            browser.close()
            server.stop()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")  # noqa: T201


if __name__ == "__main__":
    main()
