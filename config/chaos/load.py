"""The work: thousands of tasks, submitted over HTTP under a key each, some of which their provider or user spoils."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from config.chaos.client import Client, NeverTrue

THREADS = 6
TRICKLE_PER_SECOND = 6.0
"""How fast it goes on after its end, so that the last faults find work too."""
QUICK, STREAMED, LONG = "quick", "streamed", "long"
CANCELLED, ABSURD, REFUSED = "cancelled", "absurd Retry-After", "refused"

KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    QUICK: (60, {"latency_ms": 20, "tokens_per_second": 0, "output_tokens": 24}),
    STREAMED: (16, {"tokens_per_second": 40, "output_tokens": 60}),
    LONG: (5, {"tokens_per_second": 6, "output_tokens": 72}),
    CANCELLED: (4, {"tokens_per_second": 10, "output_tokens": 60}),
    "cut after it was billed": (3, {"fail": "cut", "fail_after_tokens": 6, "fail_times": 1, "tokens_per_second": 0}),
    "bad JSON": (2, {"fail": "bad_json", "fail_times": 1}),
    "unavailable": (2, {"fail": "unavailable", "fail_times": 1}),
    "stalls": (2, {"fail": "stall", "fail_after_tokens": 3, "fail_times": 1, "tokens_per_second": 0}),
    "no usage told": (2, {"usage": False, "latency_ms": 0, "tokens_per_second": 0, "output_tokens": 12}),
    ABSURD: (1, {"fail": "rate_limited", "retry_after_seconds": 1_000_000, "fail_times": 1}),
    REFUSED: (2, {"fail": "bad_request", "fail_times": 1}),
}
"""Kinds of tasks with their weights and what the simulated provider does with them."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is submitted in a run."""

    tasks: int
    seconds: float
    """Over which time they come, evenly."""
    quick: int = KINDS[QUICK][0]
    """The weight of those that nobody spoils."""
    bundle: int = 1
    """Of these, so many go by one request at most."""
    enough: int = 250
    """Live entries from which on no more are submitted for now."""


PROVIDER, LIMITED = "remote", "limited"
ROUTE = "limited-first"
"""A route whose first provider refuses with an absurd Retry-After."""
PRIORITIES = ("urgent", "high", "normal", "low", "bulk")


def body_of(kind: str, chance: random.Random) -> dict[str, Any]:
    """Return what creates a task of that kind."""
    script = dict(KINDS[kind][1])
    given = {"prompt": f"Number {chance.randrange(10**9)}", "max_output_tokens": 256, "simulate": script}
    model = ROUTE if kind == ABSURD else f"{PROVIDER}/sim-1"
    return {"type": "text.generate", "model": model, "priority": chance.choice(PRIORITIES[1:]), "input": given}


def open_gate(client: Client) -> None:
    """Open, as an operator, the gate that an absurd Retry-After has shut."""
    client.call("POST", f"/providers/{LIMITED}/circuit", {"mode": "closed", "reason": "chaos"})


class Load:
    """Submits by several threads at an even pace; what was acknowledged is remembered by its key."""

    def __init__(self, client: Client, seed: int, work: Work) -> None:
        self.acknowledged: dict[str, str] = {}
        """Task ids by Idempotency-Key."""
        self.kinds: Counter[str] = Counter()
        self.unanswered: list[str] = []
        self.is_full = False
        """Does so much wait that more would say nothing? A machine that is busy otherwise takes longer, not more."""
        self.work = work
        self._client, self._seed = client, seed
        self._weights = [weight for weight, _ in (KINDS | {QUICK: (work.quick, {})}).values()]
        self._lock, self._over = threading.Lock(), threading.Event()
        self._number = 0
        self._threads = [threading.Thread(target=self._run, args=(place,), daemon=True) for place in range(THREADS)]
        self._began = 0.0

    def start(self) -> None:
        """Begin."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Submit what is left of the wanted number, as fast as it goes, and wait for the threads' end."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def note(self, key: str, task_id: str) -> None:
        """Remember that the installation acknowledged this task."""
        with self._lock:
            self.acknowledged[key] = task_id

    def _run(self, place: int) -> None:
        while (numbers := self._next()) is not None:
            quick = []
            for number in numbers:
                chance = random.Random(f"{self._seed}/{number}")  # noqa: S311
                (kind,) = chance.choices(list(KINDS), self._weights)
                with self._lock:
                    self.kinds[kind] += 1
                if kind == QUICK and self.work.bundle > 1:
                    quick.append(body_of(kind, chance))
                else:
                    self._surely(self._submit, kind, number, chance, place + number)
            if quick:
                self._surely(self._submit_all, quick, numbers[0], place)

    def _surely(self, submit: Callable[..., None], *given: Any) -> None:
        try:
            submit(*given)
        except NeverTrue as error:
            self.unanswered.append(str(error))

    def _next(self) -> range | None:
        """Return the next tasks' numbers when they are due; None: it is over."""
        while True:
            with self._lock:
                is_extra = self._number >= self.work.tasks
                if is_extra and self._over.is_set():
                    return None
                if not self.is_full and (self._over.is_set() or time.monotonic() >= self._due(self._number)):
                    first = self._number
                    self._number += self.work.bundle
                    return range(first, self._number)
            time.sleep(0.02)

    def _due(self, number: int) -> float:
        extra = max(0, number - self.work.tasks)
        in_time = min(number, self.work.tasks) * self.work.seconds / self.work.tasks
        return self._began + in_time + extra / TRICKLE_PER_SECOND

    def _submit_all(self, bodies: list[dict[str, Any]], number: int, place: int) -> None:
        key = f"chaos-bundle-{number}"
        for place_in, task_id in enumerate(self._client.submit_all(bodies, key, place=place)):
            self.note(f"{key}/{place_in}", task_id)

    def _submit(self, kind: str, number: int, chance: random.Random, place: int) -> None:
        key = f"chaos-{number}"
        task_id = self._client.submit(body_of(kind, chance), key, place=place)
        self.note(key, task_id)
        if kind == ABSURD:
            open_gate(self._client)
        if kind == CANCELLED:
            time.sleep(chance.random())
            self._client.call("POST", f"/tasks/{task_id}/cancel", {}, place=place)
