"""The fault matrix, run for real: what becomes of a task, of its client and of the money, for each kind of error."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User

from ai_tasks import admission, clock, execution
from ai_tasks.compat import errors as compat_errors
from ai_tasks.models import AIGenerationTask, Chunk
from ai_tasks.representation import task_json
from ai_tasks.submission import TaskRequest, submit
from config.stack import inherited
from providers import control, routing
from providers.types import Candidate
from queueing.models import QueueEntry, TaskQueue

FIRST, SECOND = "first", "second"
ERRORS: dict[str, dict[str, Any]] = {
    "rate_limited": {"fail": "rate_limited", "retry_after_seconds": 0.1},
    "overloaded": {"fail": "overloaded", "retry_after_seconds": 0.1},
    "unavailable": {"fail": "unavailable"},
    "stream_cut": {"fail": "cut"},
    "timeout": {"fail": "timeout"},
    "connect_timeout": {"fail": "connect_timeout"},
    "first_token_timeout": {"fail": "stall"},
    "idle_timeout": {"fail": "stall"},
    "total_timeout": {"fail": "stall"},
    "malformed_answer": {"fail": "bad_json"},
    "empty_answer": {"fail": "empty"},
    "bad_request": {"fail": "bad_request"},
    "context_window_exceeded": {"fail": "context_window_exceeded"},
    "content_refused": {"fail": "refusal"},
    "authentication_failed": {"fail": "authentication_failed"},
    "permission_refused": {"fail": "permission_refused"},
    "model_not_found": {"fail": "model_not_found"},
    "quota_exhausted": {"fail": "quota_exhausted"},
}
"""Error codes, and the simulator's scripts that bring them about."""
FIRST_TRY, FALLBACK_TOO, MID_STREAM = "first try", "fallback also fails", "mid-stream"
WHEN: dict[str, dict[str, Any]] = {
    FIRST_TRY: {"fail_times": 1},
    FALLBACK_TOO: {"fail_times": 2},
    MID_STREAM: {"fail_times": 1, "fail_after_tokens": 3},
}
IMPOSSIBLE = {
    ("connect_timeout", MID_STREAM): "a stream has its connection",
    ("first_token_timeout", MID_STREAM): "a stream has its first token",
    ("empty_answer", MID_STREAM): "a stream is not empty",
    ("idle_timeout", FIRST_TRY): "it is one in mid-stream",
    ("idle_timeout", FALLBACK_TOO): "see its mid-stream",
    ("total_timeout", FIRST_TRY): "it is one in mid-stream",
    ("total_timeout", FALLBACK_TOO): "the deadline has passed by then",
}
SHORT, LONG = 1.0, 30.0
"""Seconds that a provider may be silent; the task's deadline comes between them."""
DEADLINE_SECONDS = {"total_timeout": 3}
GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one case."""

    error: str
    when: str
    client: list[str]
    """What a client that follows the task is told, in order."""
    v1: str
    """The same of a stream of `/v1`, which never begins anew in silence."""
    attempts: list[str]
    cost_usd: list[str]
    """Of each attempt."""
    circuits: list[str]
    """Which opened."""


def cases() -> list[tuple[str, str]]:
    """Return the pairs of error and moment that can be."""
    return [(error, when) for error in ERRORS for when in WHEN if (error, when) not in IMPOSSIBLE]


def providers() -> dict[str, dict[str, Any]]:
    """Return AI_PROVIDERS for the drill: two simulated providers of its own for each case."""
    found = {}
    for error, when in cases():
        seconds = LONG if error == "total_timeout" else SHORT
        options = {"first_token_seconds": seconds, "idle_seconds": seconds}
        for place in (FIRST, SECOND):
            found[_name((error, when), place)] = {"adapter": "simulator", "options": options}
    return found


def _name(case: tuple[str, str], place: str) -> str:
    return "-".join((place, str(cases().index(case))))


def run(owner: User) -> Iterator[Row]:
    """Run every case, one after the other, in this process and on its database, and yield what became of it."""
    control.ensure_providers(clock.now())
    for case in cases():
        yield _run(owner, case)


def _run(owner: User, case: tuple[str, str]) -> Row:
    error, when = case
    alias = f"drill-{cases().index(case)}"
    places = [Candidate(_name(case, place), "sim-1") for place in (FIRST, SECOND)]
    control.set_route(alias, places)
    for each in places:
        control.set_rule(each.provider, waits_for_operator=True)
    script = {"text": "one two three four five six", "latency_ms": 0, "tokens_per_second": 0}
    script |= WHEN[when] | ERRORS[error]
    given = {"prompt": "Count to six.", "max_output_tokens": 256, "simulate": script}
    request = TaskRequest(type="text.generate", input=given, model=alias, deadline_seconds=DEADLINE_SECONDS.get(error))
    task = submit(owner, request)
    _finish(task)
    return _row(case, task)


def _finish(task: AIGenerationTask) -> None:
    """Admit and run the task's attempts, one after the other, until it has ended."""
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    while entry := QueueEntry.objects.filter(task_id=task.pk).first():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Task {task.pk} did not end: it is {entry.state} at {entry.provider}.")
        _step(entry.provider)


def _step(provider: str) -> None:
    lanes = [f"ai.{provider}.default"]
    due = TaskQueue.objects.outlook(provider).next_due
    plan = admission.plan(AIGenerationTask.objects.all(), provider, workers=[(lanes, 1)], next_due=due, now=clock.now())
    for each in plan.dispatches:
        execution.run(each.task_id, each.epoch, each.dispatch_id)
    if not plan.dispatches:
        wait = (plan.next_wake_at or clock.now() + timedelta(seconds=0.05)) - clock.now()
        time.sleep(min(max(wait.total_seconds(), 0.01), 0.5))


def _row(case: tuple[str, str], task: AIGenerationTask) -> Row:
    shown = task_json(AIGenerationTask.objects.get(pk=task.pk))
    names = {_name(case, place): place for place in (FIRST, SECOND)}
    return Row(
        *case,
        client=list(_told(shown, names)),
        v1=_v1(shown),
        attempts=[
            f"{names[each['provider']]}: {each['error']['code'] if each['error'] else each['status']}"
            for each in shown["attempts"]
        ],
        cost_usd=[each["cost_usd"] or "0" for each in shown["attempts"]],
        circuits=[
            f"{place}{f' ({model})' if model else ''}: {cause}"
            for name, place in names.items()
            for model, cause in _open(name)
        ],
    )


def _open(provider: str) -> list[tuple[str, str]]:
    circuit = routing.circuit(provider)
    rows = {"": circuit} | circuit["models"]
    return [(model, row["cause"]) for model, row in rows.items() if row["state"] != "closed"]


def _told(task: dict[str, Any], names: dict[str, str]) -> Iterator[str]:
    """Yield the moves and pieces that the stored attempts and chunks stand for."""
    pieces = Chunk.objects.after(task["id"], 0)
    before: dict[str, Any] | None = None
    for attempt in task["attempts"]:
        if before and attempt["provider"] != before["provider"]:
            yield f"fallback {names[before['provider']]} → {names[attempt['provider']]} ({before['error']['code']})"
        elif before:
            yield "queued again"
        yield f"started at {names[attempt['provider']]}"
        kinds = [piece.kind for piece in pieces if piece.epoch == attempt["number"]]
        if "reset" in kinds:
            yield "reset"
        if "text" in kinds:
            yield "text"
        before = attempt
    yield task["status"] + (f" ({task['error']['code']})" if task["error"] else "")


def _v1(task: dict[str, Any]) -> str:
    pieces = Chunk.objects.after(task["id"], 0)
    if any(piece.kind == "reset" for piece in pieces):
        return "text, then an error"
    if task["status"] == "completed":
        return "the answer"
    status, _ = compat_errors.of_task(task)
    return "text, then an error" if pieces else f"status {status}"


def as_markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a table."""
    head = (
        "error",
        "when",
        "a client is told",
        "a stream of `/v1`",
        "attempts",
        "their cost in USD",
        "circuits that opened",
    )
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        cells = (f"`{row.error}`", row.when, ", ".join(row.client), row.v1, ", ".join(row.attempts))
        lines.append(" | ".join((*cells, " + ".join(row.cost_usd), ", ".join(row.circuits) or "none")))
    return "".join(f"| {line} |\n" for line in lines)


def in_page(page: str, rows: Iterable[Row]) -> str:
    """Return the page with its table, from the first line that begins with `| error |` on, renewed."""
    return page[: page.index("| error |")] + as_markdown(rows)


def isolated(folder: str) -> dict[str, str]:
    """Return the environment of a process that drills on a database of its own in this folder."""
    return {**inherited(), "TASUKI_VAR": folder, "AI_PROVIDERS": json.dumps(providers())}
