"""
Guards that are broken on purpose, each with the rule that must then be seen to fail: else the rules prove nothing.

They are broken from outside, by replacing a function of the engine in a process that is started for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from ai_tasks import chunks, completing, lease, sweeps
from ai_tasks.access import idempotency
from ai_tasks.access.models import IdempotencyRecord
from ai_tasks.accounts import budgets, charges
from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.capacity import Room
from ai_tasks.lease import Lease
from ai_tasks.models import AIGenerationTask
from queueing.models import TaskQueue

Put = Callable[[Any, str, Any], None]
"""Sets an attribute: `setattr`, or a test's that is undone."""


@dataclass(frozen=True, slots=True)
class Control:
    """One guard."""

    breaks: Callable[[Put], None]
    rule: str
    """What is then broken."""


def _finish_without_epoch(put: Put) -> None:
    """Whoever held a lease of the task may end it, also when it has passed to another."""
    put(completing, "holds", lambda entry, _: entry is not None)


def _begin_without_compare_and_set(put: Put) -> None:
    """A doubled or old message is run like the first."""
    guarded = lease.begin

    def begin(tasks: QuerySet[Any], task_id: Any, epoch: int, **rest: Any) -> Lease | None:
        found, task = guarded(tasks, task_id, epoch, **rest), tasks.filter(pk=task_id).first()
        return found or (Lease(task, epoch, 1_000_000, 256) if task else None)

    put(lease, "begin", begin)


def _rescue_without_lease(put: Put) -> None:
    """The sweep takes work from workers that are well."""
    guarded = sweeps.rescue_lost_leases
    put(sweeps, "rescue_lost_leases", lambda now: guarded(now + timedelta(hours=1)))


def _admit_without_limits(put: Put) -> None:
    """A provider is thought to have room for anything."""
    put(Room, "refusal", lambda *_: "")


def _idempotency_key_ignored(put: Put) -> None:
    """A request that is sent again is taken for a new one."""

    def claim(**given: Any) -> tuple[IdempotencyRecord, bool]:
        IdempotencyRecord.objects.filter(owner_id=given["owner_id"], key=given["key"]).delete()
        return guarded(**given)

    guarded = idempotency.claim
    put(idempotency, "claim", claim)


def _charge_again(put: Put) -> None:
    """An attempt is charged whenever somebody says what it used."""

    def charge(attempt: Any, task: Any, usage: Any, *, reason: str = "", now: datetime) -> bool:
        return bool(charges.charge_running([(attempt, task, usage, reason)], now))

    put(charges, "charge", charge)


def _unpaid(ended: Any, _: datetime) -> list[LedgerEntry]:
    return [LedgerEntry(attempt=attempt) for attempt, *_ in ended]


def _unfolded(_: Any, ended: Any) -> None:
    for task_id, pieces in ended:
        chunks.write(AIGenerationTask(pk=task_id), pieces)


CONTROLS = {
    "finish-without-epoch": Control(_finish_without_epoch, "completed task without exactly one success"),
    "begin-without-compare-and-set": Control(_begin_without_compare_and_set, "attempt that called twice"),
    "rescue-without-lease": Control(_rescue_without_lease, "lost attempt whose worker was not harmed"),
    "admit-without-limits": Control(_admit_without_limits, "more calls at once than the limit"),
    "idempotency-key-ignored": Control(_idempotency_key_ignored, "task that nobody was told of"),
    "charge-again": Control(_charge_again, "attempt charged twice"),
    "hold-skipped": Control(lambda put: put(budgets, "hold", lambda *_: True), "budget held other than its open holds"),
    "hold-kept": Control(lambda put: put(budgets, "settle_all", lambda *_: []), "held money"),
    "charge-skipped": Control(lambda put: put(charges, "charge_running", _unpaid), "ended attempt without a charge"),
    "entry-kept": Control(
        lambda put: put(type(TaskQueue.objects), "forget_all", lambda *_: 1), "terminal task with an entry"
    ),
    "dead-letter-skipped": Control(
        lambda put: put(type(TaskQueue.objects), "move_to_dlq", lambda *_, **__: None),
        "failed task without a dead letter that says so",
    ),
    "chunks-unfolded": Control(lambda put: put(chunks, "fold_all", _unfolded), "terminal task with unfolded chunks"),
}
"""Every guard that is broken, by name."""


def break_guard(name: str, put: Put = setattr) -> None:
    """Break the guard of that name in this process."""
    CONTROLS[name].breaks(put)
