"""`/v1/chat/completions` beside the direct call of its provider: what the queue, the money and the durable rows add."""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg

from config.local_services import free_port, throw_away_folder
from config.programs import Simulator, printed_key
from config.stack import Stack
from config.streams import UNLIMITED

RATE, REQUESTS = 25, 300
"""The open loop: requests a second, and how many."""
CONNECTIONS = (16, 64, 256)
SECONDS = 10
"""The closed loops: how many connections, each asking again as soon as it is answered, and for how long."""
WARM_UP = 20
SCRIPT = {"latency_ms": 0, "tokens_per_second": 0, "output_tokens": 16}
MESSAGES = [{"role": "user", "content": "Name a river."}]
BOOKS = """SELECT (SELECT count(*) FROM ai_tasks_aigenerationtask WHERE status = 'completed'),
    (SELECT count(*) FROM ai_tasks_attempt WHERE started_at IS NOT NULL),
    (SELECT count(*) FROM ai_tasks_ledgerentry WHERE kind = 'charge' AND amount_usd IS NOT NULL),
    (SELECT count(*) FROM queueing_queueentry)"""


@dataclass(slots=True)
class Target:
    """Where calls go."""

    port: int
    key: str
    model: str
    took_ms: list[float] = field(default_factory=list)
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    _here: threading.local = field(default_factory=threading.local)

    def call(self) -> None:
        """Make one call on this thread's connection and note its time or its failure."""
        began = time.perf_counter()
        try:
            if not hasattr(self._here, "connection"):
                self._here.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            body = json.dumps({"model": self.model, "messages": MESSAGES, "max_tokens": 64, "simulate": SCRIPT})
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            self._here.connection.request("POST", "/v1/chat/completions", body, headers)
            answer = self._here.connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise OSError(f"{answer.status} {said[:200]!r}")
        except (OSError, http.client.HTTPException) as error:
            self._here.__dict__.pop("connection", None)
            self.failed.append(str(error))
            return
        self.answered += 1
        self.took_ms.append(1_000 * (time.perf_counter() - began))

    def at_a_rate(self) -> dict[str, Any]:
        """Call at RATE, whether or not the last ones are answered; return p50, p95 and p99 in ms."""
        self.took_ms.clear()
        with ThreadPoolExecutor(64) as pool:
            began = time.monotonic()
            for number in range(REQUESTS):
                time.sleep(max(0.0, began + number / RATE - time.monotonic()))
                pool.submit(self.call)
        cuts = statistics.quantiles(self.took_ms, n=100, method="inclusive")
        return {name: round(cuts[place], 1) for name, place in (("p50_ms", 49), ("p95_ms", 94), ("p99_ms", 98))}

    def at_once(self, connections: int) -> float:
        """Keep so many connections busy for SECONDS; return the answers a second."""
        before, until = self.answered, time.monotonic() + SECONDS

        def keep_busy() -> None:
            while time.monotonic() < until:
                self.call()

        with ThreadPoolExecutor(connections) as pool:
            began = time.monotonic()
            for _ in range(connections):
                pool.submit(keep_busy)
        return round((self.answered - before) / (time.monotonic() - began), 1)


def gateway(tell: Callable[[str], object], *, rounds: int = 3) -> dict[str, Any]:
    """
    Measure the provider directly and through the gateway, in turns, on one installation of the services' shape.

    Returns the medians of the rounds: times at 25 requests a second of both, what the gateway adds to them, and its
    answers a second by connections; how many calls failed; and the books: tasks completed, attempts started and
    charged, entries left.
    """
    with throw_away_folder("gateway") as folder:
        simulator = Simulator(folder / "provider")
        simulator.start()
        stack = Stack(folder / "stack", port=free_port(), is_durable=True, AI_PROVIDERS=simulator.setting())
        try:
            stack.start()
            key = printed_key(stack.manage("welcome", "--url", stack.url))
            _lift_limits(stack)
            direct = Target(simulator.port, "none", "sim-1")
            through = Target(int(stack.url.rsplit(":", 1)[1]), key, "remote/sim-1")
            for _ in range(WARM_UP):
                through.call()
            told = [_round(tell, number + 1, direct, through) for number in range(rounds)]
            books = _books(stack)
        finally:
            stack.stop()
            simulator.stop()
    answered, failed = through.answered, len(through.failed)
    return {**_medians(told), "answered": answered, "failed": failed, "why": through.failed[:3], "books": books}


def _lift_limits(stack: Stack) -> None:
    with psycopg.connect(stack.postgres.url(), autocommit=True) as connection:
        while not connection.execute(UNLIMITED).rowcount:  # a worker makes the rows
            time.sleep(0.1)


def _round(tell: Callable[[str], object], number: int, direct: Target, through: Target) -> dict[str, Any]:
    tell(f"Round {number}: {RATE} requests a second ...")
    told: dict[str, Any] = {"direct": direct.at_a_rate(), "gateway": through.at_a_rate()}
    for connections in CONNECTIONS:
        tell(f"Round {number}: {connections} connections ...")
        told[str(connections)] = through.at_once(connections)
    return told


def _medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    times = {
        where: {name: statistics.median(each[where][name] for each in rounds) for name in rounds[0][where]}
        for where in ("direct", "gateway")
    }
    added = {name: round(value - times["direct"][name], 1) for name, value in times["gateway"].items()}
    by_connections = {name: statistics.median(each[name] for each in rounds) for name in map(str, CONNECTIONS)}
    return {**times, "added": added, "answers_per_second": by_connections}


def _books(stack: Stack) -> dict[str, int]:
    names = ("completed", "started", "charged", "left")
    with psycopg.connect(stack.postgres.url(), autocommit=True) as connection:
        row = connection.execute(BOOKS).fetchone() or ()
    return dict(zip(names, row, strict=True))
