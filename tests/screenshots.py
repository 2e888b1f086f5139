"""
Take pictures of what people see: those of the README, the chat, step by step, and the operator's console.

`python -m tests.screenshots FOLDER` below `python -m tests.services --browser`; the README's in its two languages, into
`docs/images/`; the others in light, dark, on a phone and in Japanese, into the folder. The installation is a throw-away
`manage.py standalone` with the demo's history, and with the outage of the demo's tour.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

from config.programs import Standalone
from config.settings import BASE_DIR
from tests.browser.chat import ENDED_MS, FLAGS, answer_of, state_after, wait_until_done
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
IMAGES = BASE_DIR / "docs" / "images"
PAGE = {"width": 1200, "height": 720}
LANGUAGES: dict[str, dict[str, Any]] = {
    "en": {"viewport": PAGE, "locale": "en-US"},
    "ja": {"viewport": PAGE, "locale": "ja-JP"},
}
README = ("console", "chat", "task", "dead-letters")
"""What the README shows, in each of its languages."""
OUTAGE_SECONDS = 25
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
QUESTION_JA = "Python で再試行の間隔をばらつかせるには？"
ANSWER_JA = """0 から、二倍ずつ増える上限までの間で、ランダムに待ちます。

```python
import random

def backoff(tries: int, base: float = 0.5, most: float = 60.0) -> float:
    return random.uniform(0, min(most, base * 2**tries))
```

| 回 | 上限 |
|----:|--------:|
| 0 | 0.5 秒 |
| 5 | 16 秒 |

平均は上限の半分です：$E[w] = \\frac{1}{2} b \\cdot 2^n$
"""
QUICK: dict[str, Any] = {"text": ANSWER, "latency_ms": 0, "tokens_per_second": 0}
SLOW = QUICK | {"tokens_per_second": 15}
ASKED = {"en": (QUESTION, QUICK), "ja": (QUESTION_JA, QUICK | {"text": ANSWER_JA})}


class Camera:
    """Opens pages in one look and takes their pictures."""

    def __init__(self, browser: Browser, server: Standalone, folder: Path, look: str, state: Any) -> None:
        self._server, self._folder, self._look = server, folder, look
        self._api = Api(server.url, server.api_key)
        kind = (LOOKS | LANGUAGES)[look]
        self._context = browser.new_context(**({"locale": "en-US", "storage_state": state} | kind))

    def open(self, path: str) -> Page:
        """Open a page of the site."""
        page = self._context.new_page()
        page.goto(self._server.url + path)
        return page

    def take(self, name: str, page: Page) -> None:
        """Write a picture and close the page."""
        page.screenshot(path=self._folder / f"{name}-{self._look}.png", animations="disabled")
        page.close()

    def chat(self, *answers: dict[str, Any], question: str = QUESTION) -> Page:
        """Open a chat with a question for each of these simulated answers."""
        _, session = self._api.call("POST", "/chat/sessions", {})
        for simulate in answers:
            body = {"content": question, "simulate": simulate}
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


def take_readme(cameras: dict[str, Camera], server: Standalone) -> None:
    """The README's pictures: the console in an outage, the rest when it is over."""
    with _outage(server):
        for camera in cameras.values():
            console = camera.open("/admin/ops/")
            expect(console.locator(".pills strong").first).to_have_text("12", timeout=ENDED_MS)
            camera.take("console", console)
    for language, camera in cameras.items():
        question, answer = ASKED[language]
        chat = camera.chat(answer, question=question)
        wait_until_done(chat)
        camera.take("chat", chat)
    told = Api(server.url, server.api_key).call("GET", "/tasks?status=completed&limit=50")[1]["data"]
    task = next(each["id"] for each in told if len(each["attempts"]) > 1)
    for camera in cameras.values():
        expect(camera.open("/admin/ops/").locator(".alerts .ok")).to_be_visible(timeout=ENDED_MS)
        camera.take("task", camera.open(f"/admin/ops/tasks/{task}/"))
        camera.take("dead-letters", camera.open("/admin/ops/dead-letters/"))


@contextmanager
def _outage(server: Standalone) -> Iterator[None]:
    """Let the provider be away, as `manage.py demo --outage` does; come back when all is done again."""
    command = [sys.executable, "manage.py", "demo", "--outage", "simulator", "--seconds", str(OUTAGE_SECONDS)]
    with subprocess.Popen(command, cwd=BASE_DIR, env=server.environment, stdout=subprocess.PIPE, text=True) as tour:
        assert tour.stdout
        while "Its circuit has opened" not in tour.stdout.readline():
            assert tour.poll() is None, "The tour has ended too early."
        yield
        tour.communicate()


def main() -> None:
    """Take all pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob("*.png"):
        old.unlink()
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
            take_readme({each: Camera(browser, server, IMAGES, each, state) for each in LANGUAGES}, server)
            for look in LOOKS:
                camera = Camera(browser, server, folder, look, state)
                take_chat(camera)
                take_console(camera)
        finally:
            browser.close()
            server.stop()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}, the README's in {IMAGES}")  # noqa: T201


if __name__ == "__main__":
    main()
