"""Admission alone, beside a crowd: fifty providers, ten thousand users, and one user who floods every queue."""

import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User

from ai_tasks import admission, clock, submission
from ai_tasks.models import AIGenerationTask
from config import seeding
from config.backlog import child, refuse_other_databases
from config.local_services import Postgres, throw_away_folder
from providers import control
from queueing import fairness
from queueing.models import QueueEntry, TaskQueue

SIZES = {"few": (1, 10, 1_000), "crowd": (50, 10_000, 1)}
"""Providers, users, and entries that each user has at each."""
FLOOD = 2_000
"""So many more has one of the users at each."""
ROUNDS, PLANS, BATCH, WARM_UP = 3, 100, 32, 3
WORKERS = 1_000
"""Threads at each provider: nothing but the order decides."""


def crowd(tell: Callable[[str], object], *, rounds: int = ROUNDS) -> dict[str, Any]:
    """
    Measure plans of 32 on a durable PostgreSQL, of one provider after the other, in rounds that alternate in size.

    Returns for `few` and `crowd` the rows, p50 and p95 of a plan in ms, entries admitted a second by the one process
    that plans, and the share of them that went to the user who floods; and the ratio of the p50s.
    """
    with throw_away_folder("crowd") as folder:
        postgres = Postgres(folder / "postgres")
        postgres.start()
        try:
            for name, (providers, users, each) in SIZES.items():
                tell(f"Filling {name}: {providers * (users * each + FLOOD):,} entries ...")
                _child(postgres, name, "fill_crowd")
            found: dict[str, list[Any]] = {name: [] for name in SIZES}
            for number in range(rounds):
                for name in SIZES:
                    tell(f"Round {number + 1}, {name} ...")
                    found[name].append(_child(postgres, name, "measure_crowd"))
        finally:
            postgres.stop()
    told = {
        name: {
            "providers": SIZES[name][0],
            "users": SIZES[name][1],
            **{figure: statistics.median(row[figure] for row in rows) for figure in rows[0]},
        }
        for name, rows in found.items()
    }
    return {**told, "ratio": round(told["crowd"]["plan_p50_ms"] / told["few"]["plan_p50_ms"], 2)}


def _slugs(providers: int) -> list[str]:
    return [f"p{number:02}" for number in range(providers)]


def _child(postgres: Postgres, name: str, what: str) -> Any:
    configs = {slug: {"adapter": "simulator"} for slug in _slugs(SIZES[name][0])}
    os.environ["AI_PROVIDERS"] = json.dumps(configs)
    try:
        return child(postgres, name, what, json.dumps(SIZES[name]))
    finally:
        del os.environ["AI_PROVIDERS"]


def fill(given: str) -> dict[str, Any]:
    """Fill the database that `crowd` made."""
    refuse_other_databases()
    providers, users, each = json.loads(given)
    control.ensure_providers(clock.now())
    User.objects.bulk_create([User(username=f"crowd-{number}") for number in range(users)])
    first = User.objects.earliest("pk")
    queues = [TaskQueue.objects.queue(slug) for slug in _slugs(providers)]
    TaskQueue.objects.update(soft_mark=None, hard_mark=None, user_mark=None)
    _fill_queues(first, providers, users, each)
    seeding.analyze(AIGenerationTask, QueueEntry)
    for queue in queues:
        fairness.derive_anew(queue)
    return {}


def _fill_queues(first: User, providers: int, users: int, each: int) -> None:
    """Give the first user many entries at each provider, and then every user some."""
    wish = submission.TaskRequest(type="text.generate", input={"prompt": "Name a river."}, model="p00/sim-1")
    task = submission.submit(first, wish)
    entry, place = QueueEntry.objects.get(task_id=task.pk), f"(n - 1) / {providers}"
    owner = f"{first.pk} + CASE WHEN {place} < {FLOOD} THEN 0 ELSE mod({place} - {FLOOD}, {users}) END"
    common = {
        "id": seeding.UUID7.format(time="now()"),
        "owner_id": owner,
        "provider": f"'p' || lpad(mod(n - 1, {providers})::text, 2, '0')",
    }
    seeding.insert(task, "generate_series(1, %s) AS n", providers * (users * each + FLOOD), **common)
    others = f"(SELECT * FROM ai_tasks_aigenerationtask WHERE id <> '{task.pk}') AS task"  # noqa: S608
    seeding.insert(entry, others, task_id="task.id", owner_key="task.owner_id::text", provider="task.provider")
    submission.cancel(task)


def measure(given: str) -> dict[str, float]:
    """Measure in the database that `crowd` made."""
    refuse_other_databases()
    providers, *_ = json.loads(given)
    flood, took_ms, admitted = str(User.objects.earliest("pk").pk), [], Counter[str]()
    for number in range(PLANS + WARM_UP):
        slug = _slugs(providers)[number % providers]
        began = time.perf_counter()
        count = _plan(slug)
        if number >= WARM_UP and count:
            took_ms.append(1_000 * (time.perf_counter() - began))
        admitted += _owners_of_what_went()
    cuts = statistics.quantiles(took_ms, n=20, method="inclusive")
    return {
        "plan_p50_ms": round(cuts[9], 2),
        "plan_p95_ms": round(cuts[18], 2),
        "admitted_per_second": round(BATCH * 1_000 / statistics.mean(took_ms), 1),
        "share_of_who_floods": round(admitted[flood] / admitted.total(), 3),
    }


def _plan(slug: str) -> int:
    lanes = [f"ai.{slug}.default", f"ai.{slug}.long"]
    tasks, due = AIGenerationTask.objects.all(), TaskQueue.objects.outlook(slug).next_due
    found = admission.plan(tasks, slug, workers=[(lanes, WORKERS)], limit=BATCH, next_due=due, now=clock.now())
    return len(found.dispatches)


def _owners_of_what_went() -> Counter[str]:
    """Count them, and finish what went at once: it is not to fill the provider."""
    gone = QueueEntry.objects.at_provider()
    owners = Counter(gone.values_list("owner_key", flat=True))
    gone.delete()
    return owners
