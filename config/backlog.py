"""What admission and submission cost beside few rows and beside many: two databases of one PostgreSQL, in turns."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from ai_tasks import admission, clock, submission
from ai_tasks.models import AIGenerationTask
from config.local_services import Postgres, throw_away_folder
from config.seeding import Size, seed
from providers import control
from providers.types import Limits
from queueing.models import QueueEntry, TaskQueue

FEW = Size(waiting=1_000)
MANY = Size(waiting=200_000, parked=100_000, finished=1_000_000, dead_letters=10_000)
ROUNDS = 3
CLAIMS, PLANS, SUBMITS, BATCH = 100, 5, 100, 32
DATABASE = "tasuki_measured_"
WORKERS = [(["ai.simulator.default", "ai.simulator.long"], 1_000)]
FIGURES = ("claim", "admit_32", "submit")


def backlog(tell: Callable[[str], object], *, many: Size = MANY, rounds: int = ROUNDS) -> dict[str, Any]:
    """
    Measure three operations, each a transaction on a durable PostgreSQL, in rounds that alternate between the sizes.

    Returns for `few` and `many` the rows, and per operation p50 and p95 in ms: the median of the rounds, and from
    lowest to highest; and the ratios of the p50s, many to few.
    """
    sizes = {"few": FEW, "many": many}
    with throw_away_folder("backlog") as folder:
        postgres = Postgres(folder / "postgres")
        postgres.start()
        try:
            for name, size in sizes.items():
                tell(f"Filling {name} ...")
                child(postgres, name, "fill", json.dumps(_numbers(size)))
            found: dict[str, list[Any]] = {name: [] for name in sizes}
            for number in range(rounds):
                for name in sizes:
                    tell(f"Round {number + 1}, {name} ...")
                    found[name].append(child(postgres, name, "measure", "{}"))
        finally:
            postgres.stop()
    told = {name: {"rows": _numbers(sizes[name]), **_summary(rows)} for name, rows in found.items()}
    ratios = {name: round(told["many"][name]["p50_ms"] / told["few"][name]["p50_ms"], 2) for name in FIGURES}
    return {"rounds": rounds, **told, "ratios": ratios}


def _numbers(size: Size) -> dict[str, int]:
    return {name: getattr(size, name) for name in Size.__slots__}


def _summary(rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    summary = {}
    for name in FIGURES:
        halves = sorted(each[name]["p50_ms"] for each in rounds)
        p95 = statistics.median(each[name]["p95_ms"] for each in rounds)
        summary[name] = {"p50_ms": statistics.median(halves), "p50_from_to": [halves[0], halves[-1]], "p95_ms": p95}
    return summary


def child(postgres: Postgres, name: str, what: str, given: str) -> Any:
    """Run `manage.py benchmark <what>` on a new or known database of that name and return what it prints."""
    postgres.make_database(DATABASE + name)
    # Redis is never asked: nothing is handed to Celery.
    environment = {"DATABASE_URL": postgres.url(DATABASE + name), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "django", "benchmark", what, "--given", given]
    quiet = {"AI_DISPATCHER": "false", "SECRET_KEY": uuid4().hex, "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(  # noqa: S603
        command, cwd=settings.BASE_DIR, env={**os.environ, **environment, **quiet}, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def refuse_other_databases() -> None:
    """Raise unless this process was started by `child`."""
    if not str(connection.settings_dict["NAME"]).startswith(DATABASE):
        raise RuntimeError("Only what a benchmark made may be measured like this: it is used up.")


def fill(given: str) -> dict[str, Any]:
    """Fill the database that `backlog` made."""
    refuse_other_databases()
    seed(Size(**json.loads(given)))
    control.set_limits("simulator", Limits())
    return {}


def measure() -> dict[str, dict[str, float]]:
    """Measure in the database that `backlog` made."""
    refuse_other_databases()
    user = User.objects.earliest("pk")
    wish = submission.TaskRequest(type="text.generate", input={"prompt": "Name a river."}, model="simulator/sim-1")
    tasks, worker = AIGenerationTask.objects, uuid4()
    operations: dict[str, tuple[Callable[[], Any], int]] = {
        "claim": (lambda: tasks.claim_next_pending_task(worker, provider="simulator"), CLAIMS),
        "admit_32": (_admit, PLANS),
        "submit": (lambda: submission.submit(user, wish), SUBMITS),
    }
    return {name: _timed(operation, count) for name, (operation, count) in operations.items()}


def _admit() -> bool:
    due = TaskQueue.objects.outlook("simulator").next_due
    tasks = AIGenerationTask.objects.all()
    found = admission.plan(tasks, "simulator", workers=WORKERS, limit=BATCH, next_due=due, now=clock.now())
    return len(found.dispatches) == BATCH


def _timed(operation: Callable[[], Any], count: int) -> dict[str, float]:
    took_ms = []
    for number in range(count + 3):
        began = time.perf_counter()
        if not operation():
            raise RuntimeError("There was nothing to do.")
        if number >= 3:  # the first ones compile their statements
            took_ms.append(1_000 * (time.perf_counter() - began))
        _clear_the_way()
    cuts = statistics.quantiles(took_ms, n=20, method="inclusive")
    return {"p50_ms": round(cuts[9], 2), "p95_ms": round(cuts[18], 2)}


def _clear_the_way() -> None:
    """What was handed over is finished at once: it neither fills the provider nor makes the tables smaller."""
    QueueEntry.objects.at_provider().delete()
