"""A client of a running installation: REST, SSE and WebSocket over real sockets."""

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PATIENCE_SECONDS = 90.0
STUCK_AT_FIRST: dict[str, Any] = {"fail": "stall", "fail_after_tokens": 3, "fail_times": 1, "tokens_per_second": 0}
"""Says a little and stands still, in the first attempt only: it runs until somebody ends it."""


class Api:
    """Calls below `/api/v1` with a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = f"{url}/api/v1"
        self.key = key

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None) -> tuple[int, Any]:
        """Return the status and the JSON of an answer."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=70) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def submit(self, prompt: str, *, model: str = "default", wait: int = 0, **simulate: Any) -> Any:
        """Create a text task and return it."""
        body = {"type": "text.generate", "model": model, "input": {"prompt": prompt, "simulate": simulate}}
        status, task = self.call("POST", f"/tasks?wait={wait}" if wait else "/tasks", body)
        assert status == 202, task
        return task

    def submit_many(self, count: int, **options: Any) -> list[str]:
        """Create many at once and return their ids."""
        with ThreadPoolExecutor(8) as pool:
            return [task["id"] for task in pool.map(lambda n: self.submit(f"task {n}", **options), range(count))]

    def task(self, task_id: str) -> Any:
        """Return a task as it is now."""
        return self.call("GET", f"/tasks/{task_id}")[1]

    def events(self, task_id: str, after: int = 0) -> list[tuple[str, Any]]:
        """Read a task's whole event stream: (name, data)."""
        headers = {"Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"{self.url}/tasks/{task_id}/events?after={after}", headers=headers)
        with urllib.request.urlopen(request, timeout=70) as answer:
            frames = answer.read().decode().split("\n\n")
        fields = [dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line) for frame in frames]
        return [(each["event"], json.loads(each["data"])) for each in fields if "event" in each]


def eventually(is_true: Any, why: str = "it came to pass", seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition; fail with what it was."""
    give_up_at = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < give_up_at, f"Never came true: {why}"
        time.sleep(0.05)
