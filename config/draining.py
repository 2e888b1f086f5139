"""
How fast a full queue drains, and how many calls one worker holds: beside plain Celery and the database's own limit.

Each run has a new PostgreSQL (durable) and Redis of its own. A run's time is from the first task's start to the last
one's end, as the rows say: processes that start are not measured.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.contrib.auth.models import User

from ai_tasks import clock, submission
from config.local_services import die_with_parent, free_port, stop, throw_away_folder
from config.stack import BASE_DIR, Stack
from providers import control
from providers.types import Limits

REFERENCE = "tests.benchmarks.plain_celery"
"""A hand-written Celery app; it comes with the sources, not with an installed package."""
GIVE_UP_SECONDS = 600.0
CLIENTS = 4
THREADS = 150
"""Of plain Celery: each keeps a connection, of which the measured PostgreSQL has two hundred."""
OURS = (
    "SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at)), "
    "extract(epoch FROM max(finished_at) - min(created_at)) FROM ai_tasks_aigenerationtask WHERE status = 'completed'"
)
THEIRS = (
    "SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at)), "
    "extract(epoch FROM max(finished_at) - min(created_at)) FROM benchmarks_job WHERE status = 'done'"
)

Run = dict[str, float]


def drain(tell: Callable[[str], object], *, count: int, rounds: int) -> dict[str, Any]:
    """
    Drain so many no-op tasks with two workers, in rounds that alternate with the reference and the raw limit.

    Returns tasks a second (median, lowest, highest) and CPU in ms a task by process, and the ratios of the medians.
    """
    runs: dict[str, list[Run]] = {"tasuki": [], "plain celery": [], "raw SQL": []}
    for number in range(rounds):
        tell(f"Round {number + 1} of {rounds} ...")
        runs["tasuki"].append(ours(count, seconds=0.0, workers=2))
        runs["plain celery"].append(theirs(count, seconds=0.0, pool=("-P", "prefork", "-c", "2")))
        runs["raw SQL"].append(raw(count))
    told = {name: _summary(found, "per_second") for name, found in runs.items()}
    speed = {name: each["per_second"]["median"] for name, each in told.items()}
    ratios = {name: round(speed["tasuki"] / speed[name], 2) for name in ("plain celery", "raw SQL")}
    return {"tasks": count, "rounds": rounds, "runs": told, "ratios": ratios}


def concurrency(tell: Callable[[str], object], *, count: int, seconds: float, rounds: int) -> dict[str, Any]:
    """
    Run so many tasks that each wait so long, in one worker with as many threads, beside Celery's threads.

    Returns seconds from the first submission to the last end, megabytes, and CPU seconds of all processes. The
    reference has its queue full before it starts, and its time runs from its first task's start.
    """
    runs: dict[str, list[Run]] = {"tasuki": [], "plain celery": []}
    threads = ("-P", "threads", "-c", str(min(count, THREADS)))
    for number in range(rounds):
        tell(f"Round {number + 1} of {rounds} ...")
        runs["tasuki"].append(ours(count, seconds=seconds, workers=1, threads=count))
        runs["plain celery"].append(theirs(count, seconds=seconds, pool=threads))
    told = {name: _summary(found, "all_seconds", "megabytes", "cpu_seconds") for name, found in runs.items()}
    return {"tasks": count, "seconds_each": seconds, "rounds": rounds, "runs": told}


def _summary(runs: list[Run], *names: str) -> dict[str, Any]:
    found = {}
    for name in (*names, *(each for each in runs[0] if each.startswith("cpu_ms"))):
        values = sorted(run[name] for run in runs if name in run)
        found[name] = {"median": statistics.median(values), "from_to": [values[0], values[-1]]} if values else {}
    return found


@contextmanager
def _yard(threads: int = 0) -> Iterator[Stack]:
    """Yield an installation of which only the services run."""
    with throw_away_folder("drain") as folder:
        stack = Stack(folder, port=free_port(), AI_WORKER_THREADS=str(threads or settings.AI_WORKER_THREADS))
        try:
            stack.start_services()
            yield stack
        finally:
            stack.stop()


def ours(count: int, *, seconds: float, workers: int, threads: int = 0) -> Run:
    """Measure this project: submitted by one process, before any worker runs or, where tasks wait, while one does."""
    with _yard(threads) as stack:
        stack.manage("migrate", "--verbosity", "0")
        names = [*(f"worker-{number + 1}" for number in range(workers)), "beat"]
        fill = [sys.executable, "manage.py", "benchmark", "submit", "--given", f"[{count}, {seconds}]"]
        return _measured(stack, fill, names, OURS, count, is_live=seconds > 0)


def theirs(count: int, *, seconds: float, pool: tuple[str, ...]) -> Run:
    """Measure the reference."""
    with _yard() as stack:
        module = [sys.executable, "-m", REFERENCE]
        subprocess.run([*module, "migrate"], env=stack.environment, cwd=BASE_DIR, check=True)  # noqa: S603
        stack.commands["worker-1"] = ["celery", "-q", "-A", REFERENCE, "worker", "-l", "WARNING", *pool]
        fill = [*module, "enqueue", str(count), str(seconds)]
        return _measured(stack, fill, ["worker-1"], THEIRS, count, is_live=False)


def _measured(stack: Stack, fill: list[str], names: list[str], done: str, count: int, *, is_live: bool) -> Run:
    """Fill the queue and have it drained; `is_live`: the processes run already when it is filled."""
    if is_live:
        _spawn(stack, names)
    environment = {**stack.environment, "AI_DISPATCHER": "true" if is_live else "false"}
    filling = subprocess.Popen(fill, env=environment, cwd=BASE_DIR, preexec_fn=die_with_parent)  # noqa: S603
    if not is_live:
        _check(filling.wait(GIVE_UP_SECONDS))
        _spawn(stack, names)
    before = _cpu_seconds(stack)
    with psycopg.connect(stack.postgres.url(), autocommit=True) as connection:
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while (found := connection.execute(done).fetchone()) is None or found[0] < count:
            _check(filling.poll())
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"{found and found[0]} of {count} tasks ended within {GIVE_UP_SECONDS:.0f} s.")
            time.sleep(0.2)
    used = {name: seconds - before.get(name, 0.0) for name, seconds in _cpu_seconds(stack).items()}
    stop(filling)
    return {
        "per_second": round(count / float(found[1]), 1),
        "all_seconds": round(float(found[2 if is_live else 1]), 2),
        "cpu_seconds": round(sum(used.values()), 2),
        "megabytes": round(max(_megabytes(stack.processes[name].pid) for name in names), 1),
        **{f"cpu_ms {name}": round(1_000 * seconds / count, 2) for name, seconds in used.items()},
    }


def _check(code: int | None) -> None:
    if code:
        raise RuntimeError(f"The queue was not filled: exit code {code}.")


def _spawn(stack: Stack, names: list[str]) -> None:
    for name in names:
        stack.spawn(name)


def _cpu_seconds(stack: Stack) -> dict[str, float]:
    """Return the CPU time of each process of the stack, and of what it started, so far."""
    roots = {process.pid: name for name, process in stack.processes.items()}
    roots |= {
        service.process.pid: name
        for name, service in (("postgresql", stack.postgres), ("redis", stack.redis))
        if service.process
    }
    rows = {pid: fields for pid in _pids() if (fields := _stat(pid))}
    used = dict.fromkeys(roots.values(), 0.0)
    for pid, fields in rows.items():
        root = pid
        while root not in roots and root in rows:
            root = int(rows[root][1])
        if root in roots:
            # Its own time, and that of its children that have ended.
            used[roots[root]] += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return used


def _pids() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (proc(5)); nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _megabytes(pid: int) -> float:
    """Return the most memory that a process has had, resident."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def fill(count: int, seconds: float) -> None:
    """Submit that many tasks, each of which its provider answers after so long. Runs in the installation measured."""
    control.ensure_providers(clock.now())
    control.set_limits("simulator", Limits())
    owner = User.objects.get_or_create(username="alice")[0]
    script = {"latency_ms": int(1_000 * seconds), "tokens_per_second": 0}
    given = {"prompt": "Name a river.", "max_output_tokens": 16, "simulate": script}
    wish = submission.TaskRequest(type="text.generate", input=given, model="simulator/sim-1")
    for _ in range(count):
        submission.submit(owner, wish)


def raw(count: int) -> Run:
    """Measure the database alone: four clients that each claim a row, commit, complete it, and commit."""
    with _yard() as stack, psycopg.connect(stack.postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE job (id bigserial PRIMARY KEY, state text NOT NULL, result text)")
        connection.execute("CREATE INDEX waiting ON job (id) WHERE state = 'waiting'")
        connection.execute("INSERT INTO job (state) SELECT 'waiting' FROM generate_series(1, %s)", [count])
        connection.execute("VACUUM ANALYZE job")
        clients = [threading.Thread(target=_claim_all, args=(stack.postgres.url(),)) for _ in range(CLIENTS)]
        began = time.monotonic()
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        return {"per_second": round(count / (time.monotonic() - began), 1)}


def _claim_all(url: str) -> None:
    claim = (
        "UPDATE job SET state = 'running' WHERE id = (SELECT id FROM job WHERE state = 'waiting' ORDER BY id LIMIT 1 "
        "FOR UPDATE SKIP LOCKED) RETURNING id"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        while row := connection.execute(claim).fetchone():
            connection.execute("UPDATE job SET state = 'done', result = 'text' WHERE id = %s", row)
