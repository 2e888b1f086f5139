"""Calls of the installation's API over real sockets, through whichever web process answers."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

TIMEOUT_SECONDS = 30.0
PATIENCE_SECONDS = 180.0
AGAIN_SECONDS = 0.2
UNTIL_TAKEN = (409, 429, 500, 502, 503, 504)
"""Statuses after which a client sends the same again: a twin in flight, a full queue, a server in trouble."""


class NeverTrue(Exception):
    """What was waited for did not come about in its time."""


def wait_for(is_true: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Return after how many seconds the condition came true; raises NeverTrue."""
    began = time.monotonic()
    while not is_true():
        if time.monotonic() - began > seconds:
            raise NeverTrue(f"Not within {seconds:.0f} s: {what}.")
        time.sleep(0.1)
    return time.monotonic() - began


class Client:
    """A client with a key that knows several addresses of one installation."""

    def __init__(self, urls: Sequence[str], key: str) -> None:
        self._urls = list(urls)
        self._key = key

    def once(self, method: str, path: str, body: Any = None, *, place: int = 0, key: str = "") -> tuple[int, Any]:
        """Call once and return the status and the JSON; raises OSError or ValueError where no whole answer came."""
        url = f"{self._urls[place % len(self._urls)]}/api/v1{path}"
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"{}")

    def call(self, method: str, path: str, body: Any = None, *, place: int = 0, key: str = "") -> tuple[int, Any]:
        """Call until somebody answers for good, as a careful client does; raises NeverTrue."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        status: int | str = "no answer"
        while time.monotonic() < give_up_at:
            try:
                status, told = self.once(method, path, body, place=place, key=key)
            except (OSError, ValueError):
                status = "no answer"
            else:
                if status not in UNTIL_TAKEN:
                    return status, told
            place += 1
            time.sleep(AGAIN_SECONDS)
        raise NeverTrue(f"{method} {path} was not answered: {status}.")

    def submit(self, body: Any, key: str, *, place: int = 0) -> str:
        """Create a task under this Idempotency-Key, however often it has to be sent, and return its id."""
        status, told = self.call("POST", "/tasks", body, place=place, key=key)
        if status != 202:
            raise NeverTrue(f"POST /tasks answered {status}: {told}")
        return str(told["id"])

    def submit_all(self, bodies: Sequence[Any], key: str, *, place: int = 0) -> list[str]:
        """Create these tasks together under one Idempotency-Key, and return their ids in the same order."""
        status, told = self.call("POST", "/tasks/bulk", {"tasks": bodies}, place=place, key=key)
        if status != 202:
            raise NeverTrue(f"POST /tasks/bulk answered {status}: {told}")
        return [str(each["id"]) for each in told["data"]]
