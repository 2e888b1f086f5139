"""
The schedule of `manage.py chaos` against plain Celery: acks_late on Redis, a row for each task, an idempotent result.

`python -m tests.benchmarks.plain_chaos --seed 7 --tasks 2000 --seconds 120`. Three workers of eight processes,
PostgreSQL, Redis and the same provider over HTTP. Its faults come in the same order; those that are ours alone
(operators, cancels, clients' keys) are left out. A message that nobody acknowledged is delivered again after 20 s
(`visibility_timeout`; an hour is usual).
"""

import argparse
import importlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django import setup

from config.local_services import free_port, throw_away_folder
from config.programs import Simulator
from config.stack import Stack
from tests.benchmarks.plain_submit import Submitter

MODULE = "tests.benchmarks.plain_celery"
WORKERS, PROCESSES = 3, 8
VISIBILITY_SECONDS = 20
STALLED_SECONDS = 4 * VISIBILITY_SECONDS
"""After so long without an end nothing more will come."""
FOUND = """SELECT count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'processing'),
    count(*) FILTER (WHERE status = 'done'), count(*) FILTER (WHERE finishes > 1)
    FROM benchmarks_job WHERE id = ANY(%s)"""


class Plain:
    """The hand-written installation, and what can be done to it."""

    def __init__(self, stack: Stack, chance: random.Random) -> None:
        self.stack, self.chance, self.did = stack, chance, Counter[str]()
        self.names = [f"worker-{number + 1}" for number in range(WORKERS)]
        celery = ["celery", "-q", "-A", MODULE, "worker", "-l", "ERROR", "-P", "prefork", "-c", str(PROCESSES)]
        stack.commands.update({name: [*celery, "-n", f"{name}@%h"] for name in self.names})

    def send(self, name: str, number: int) -> None:
        """Send a signal to all processes of a worker, as a machine that goes away would."""
        os.killpg(self.stack.processes[name].pid, number)

    def kill(self, names: list[str]) -> None:
        """End these workers at once, and start them again."""
        for name in names:
            self.send(name, signal.SIGKILL)
            self.stack.processes.pop(name).wait()
            self.did["kills"] += 1
        for name in names:
            self.stack.spawn(name)

    def crash(self, waves: list[dict[str, str]]) -> None:
        """Kill the workers that the schedule kills; plain Celery has no named points."""
        for wave in waves:
            time.sleep(self.chance.uniform(1, 4))
            self.kill([name for name in wave if name in self.names])

    def freeze(self, count: int) -> None:
        """Suspend workers for longer than their messages are theirs."""
        names = self.chance.sample(self.names, count)
        for name in names:
            self.send(name, signal.SIGSTOP)
        time.sleep(VISIBILITY_SECONDS + 10)
        for name in names:
            self.send(name, signal.SIGCONT)
        self.did["zombies"] += count

    def kill_all_workers(self) -> None:
        """End all at once."""
        self.kill(self.names)

    def drain(self) -> None:
        """Stop one as a deployment does, with ten seconds' patience."""
        name = self.chance.choice(self.names)
        process = self.stack.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        self.stack.spawn(name)
        self.did["deployments"] += 1

    def stop_broker(self) -> None:
        """Take Redis away for some seconds, with all that it held."""
        self.stack.redis.stop()
        time.sleep(self.chance.uniform(1, 3))
        self.stack.redis.start()
        self.did["broker stopped"] += 1

    def flush_broker(self) -> None:
        """Empty Redis."""
        self.stack.redis.flush()
        self.did["broker emptied"] += 1

    def restart_database(self) -> None:
        """Restart PostgreSQL."""
        self.stack.postgres.stop()
        self.stack.postgres.start()
        self.did["database restarted"] += 1

    def end_backends(self) -> None:
        """End every connection to the database."""
        with psycopg.connect(self.stack.postgres.url("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tasuki'")
        self.did["connections ended"] += 1


def compare(*, seed: int, tasks: int, seconds: float) -> dict[str, Any]:
    """Run it once and return what became of the tasks."""
    chance = random.Random(f"{seed}/faults")
    with throw_away_folder("plain") as folder:
        simulator = Simulator(folder / "provider")
        more = {"PROVIDER_URL": simulator.base_url, "ACKS_LATE": "1", "VISIBILITY_TIMEOUT": str(VISIBILITY_SECONDS)}
        stack = Stack(folder, port=free_port(), is_durable=False, **more)  # type: ignore[arg-type]
        plain = Plain(stack, chance)
        try:
            simulator.start()
            stack.start_services()
            submitter = Submitter(stack.environment, tasks, seconds)
            for name in plain.names:
                stack.spawn(name)
            submitter.start()
            _befall(plain, seed, seconds)
            known = submitter.finish()
            found = _at_rest(stack, known)
            calls = Counter(line["request_id"] for line in simulator.lines() if line["event"] == "began")
        finally:
            stack.stop()
            simulator.stop()
    waiting, processing, done, twice = found
    return {
        "seed": seed,
        "acknowledged": len(known),
        "faults": dict(plain.did),
        "done": done,
        "never done": waiting + processing,
        "of these begun": processing,
        "finished twice": twice,
        "calls": calls.total(),
        "calls beyond one a task": calls.total() - len(calls),
    }


def _befall(plain: Plain, seed: int, seconds: float) -> None:
    began = time.monotonic()
    # It knows Django's models, which can be imported only now.
    schedule = importlib.import_module("config.chaos.schedule")
    for name, episode in schedule.episodes(seed, schedule.Size()):
        given = episode.keywords if isinstance(episode, partial) else {}
        act: Callable[..., None] | None = getattr(plain, name, None)
        if act is not None:
            print(f"{time.monotonic() - began:6.1f} s  {name}", flush=True)  # noqa: T201
            act(**given)
            time.sleep(3)
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def _at_rest(stack: Stack, known: list[int]) -> tuple[int, ...]:
    """Wait until all is done, or nothing has moved for long, and count."""
    last: tuple[int, ...] = ()
    moved_at = time.monotonic()
    while time.monotonic() < moved_at + STALLED_SECONDS:
        with psycopg.connect(stack.postgres.url(), autocommit=True) as connection:
            found = tuple(connection.execute(FOUND, [known]).fetchone() or ())
        if found != last:
            last, moved_at = found, time.monotonic()
        if found[2] == len(known):
            break
        time.sleep(1)
    return last


def main() -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"seed": 7, "tasks": 2_000, "seconds": 120}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--evidence", type=Path)
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    setup()
    told = compare(seed=given.seed, tasks=given.tasks, seconds=given.seconds)
    if given.evidence:
        given.evidence.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
