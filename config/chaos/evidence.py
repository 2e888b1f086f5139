"""What a run showed, as JSON to keep and as a table to read."""

import platform
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from django.db import connection

from ai_tasks.accounts.models import Attempt
from ai_tasks.models import AIGenerationTask
from config.chaos.books import Books
from config.chaos.installation import BEATS, CAPS, LEASE_SECONDS, WEBS, WORKERS
from config.chaos.run import RECLAIM_SECONDS, Verdict, reclaims

PACKAGES = ("django", "celery", "kombu", "redis", "psycopg", "channels", "daphne")


def of(verdict: Verdict, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return everything that a run showed."""
    scene, ours = verdict.scene, verdict.books
    return {
        **wanted,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "processes": {"web": WEBS, "worker": WORKERS, "beat": BEATS},
        "broken": verdict.broken,
        "invariants": {rule: not rows for rule, rows in verdict.checks},
        "looks_while_it_ran": verdict.watch.looks,
        "faults": dict(sorted(scene.faults.items())),
        "kills": _kills(verdict),
        "points_not_reached": dict(scene.crew.missed),
        "zombies": {"leases_taken": len(scene.frozen), "late_writes_rejected": verdict.zombies_rejected},
        "tasks": _tasks(verdict),
        "kinds": dict(scene.load.kinds),
        "attempts": _counted(Attempt.objects.values_list("state", flat=True)),
        "provider": _provider(ours),
        "money": _money(ours),
        "reclaims": _reclaims(verdict),
        "recoveries": [
            {"after": each.after, "seconds": each.seconds, "bound_seconds": each.bound_seconds}
            for each in scene.recoveries
        ],
        "drain_seconds": [round(each, 1) for each in scene.crew.drains],
        "durations": verdict.seconds,
        "peaks_by_fifth": verdict.peaks,
    }


def of_controls(told: dict[str, Any], controls: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what broken guards showed; one that was not seen breaks the promise that the rules can fail."""
    unseen = [f"{name} was not seen: no {each['rule']}" for name, each in controls.items() if not each["is_seen"]]
    return {"controls": controls, "broken": told["broken"] + unseen}


def _tasks(verdict: Verdict) -> dict[str, int]:
    told = len(set(verdict.scene.load.acknowledged.values()))
    return {"acknowledged": told, **_counted(AIGenerationTask.objects.values_list("status", flat=True))}


def _provider(ours: Books) -> dict[str, Any]:
    most = {
        name: {
            "limit": cap,
            "held": ours.crowd(name, with_zombies=False),
            "with_zombies": ours.crowd(name, with_zombies=True),
        }
        for name, cap in CAPS.items()
    }
    return {"calls": len(ours.calls), "extra_calls_by_cause": dict(ours.extra()), "most_at_once": most}


def _money(ours: Books) -> dict[str, Any]:
    """Count the charges: settled as billed, and the others by why."""
    reasons = Counter(ours.reason(each) for each in ours.estimates())
    return {
        "charges": len(ours.charges),
        "settled_as_billed": len(ours.settled()),
        "others_by_reason": dict(reasons),
        "others_billed_tokens": ours.billed_elsewhere(),
    }


def _versions() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (postgres,) = cursor.fetchone()
    return {"python": platform.python_version(), "postgresql": postgres, **{name: version(name) for name in PACKAGES}}


def _counted(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(map(str, values)).items()))


def _kills(verdict: Verdict) -> dict[str, Any]:
    """Count the ends of processes by how, and the kinds of processes that met them."""
    deaths = [each for each in verdict.scene.crew.harms if each.how != "SIGSTOP"]
    points = Counter(each.how.removeprefix("at ") for each in deaths if each.how != "SIGKILL")
    return {
        "total": len(deaths),
        "anywhere": len(deaths) - points.total(),
        "at_points": dict(sorted(points.items())),
        "points": len(points),
        "processes": dict(Counter(each.name.split("-")[0] for each in deaths)),
    }


def _reclaims(verdict: Verdict) -> dict[str, Any]:
    found = reclaims(verdict.scene, verdict.books)
    worst = max(found, default=0.0)
    return {"count": len(found), "worst_seconds": worst, "bound_seconds": RECLAIM_SECONDS, "lease": LEASE_SECONDS}


def as_table(told: dict[str, Any]) -> str:
    """Return what matters of it, to be read."""
    kills, tasks = told["kills"], told["tasks"]
    lines = [
        f"Seed {told['seed']}: {tasks['acknowledged']} tasks acknowledged, {told['attempts']}",
        f"{kills['total']} kills, {sum(kills['at_points'].values())} of them at {kills['points']} points: "
        f"{', '.join(kills['at_points'])}",
        f"{told['zombies']['leases_taken']} leases taken from frozen workers, "
        f"{told['zombies']['late_writes_rejected']} late writes seen and refused",
        f"{told['provider']['calls']} calls, extra ones by cause: {told['provider']['extra_calls_by_cause']}",
        f"most calls at once: {told['provider']['most_at_once']}",
        f"{told['money']['settled_as_billed']} charges as billed, estimates: {told['money']['others_by_reason']}",
        f"slowest reclaim {told['reclaims']['worst_seconds']} s of {told['reclaims']['bound_seconds']} s",
        *(f"{each['seconds']:6.1f} s of {each['bound_seconds']:.0f} s: {each['after']}" for each in told["recoveries"]),
        *(f"{fault}: {times}" for fault, times in told["faults"].items()),
        f"{told['durations']}",
        "",
        *(f"{'holds ' if holds else 'BROKEN'}  no {rule}" for rule, holds in told["invariants"].items()),
        *(f"{'seen  ' if each['is_seen'] else 'UNSEEN'}  {name}" for name, each in told.get("controls", {}).items()),
        *(f"\n{each}" for each in told["broken"]),
    ]
    return "\n".join(lines)
