"""
Guards that are broken on purpose, each with the rule that must then be seen to fail: else the rules prove nothing.

They are broken from outside, by replacing a function of the engine in a process that is started for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from ai_tasks import chunks, lease, settlement, sweeps
from ai_tasks.access import idempotency
from ai_tasks.access.models import IdempotencyRecord
from ai_tasks.accounts import budgets, charges
from ai_tasks.capacity import Room
from ai_tasks.lease import Lease
from queueing.models import QueueEntry, TaskQueue
from queueing.statements import Param, Select
from queueing.states import EntryState

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
    running = QueueEntry.objects.filter(task_id=Param("task_id"), state=EntryState.RUNNING)
    put(settlement, "_running_entry", Select(lambda: running.select_for_update()))


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
    guarded = charges.charge

    def charge(*given: Any, reason: str = "", is_running: bool = False, now: datetime) -> bool:
        return guarded(*given, reason=reason, is_running=True, now=now)

    put(charges, "charge", charge)


CONTROLS = {
    "finish-without-epoch": Control(_finish_without_epoch, "completed task without exactly one success"),
    "begin-without-compare-and-set": Control(_begin_without_compare_and_set, "attempt that called twice"),
    "rescue-without-lease": Control(_rescue_without_lease, "lost attempt whose worker was not harmed"),
    "admit-without-limits": Control(_admit_without_limits, "more calls at once than the limit"),
    "idempotency-key-ignored": Control(_idempotency_key_ignored, "task that nobody was told of"),
    "charge-again": Control(_charge_again, "attempt charged twice"),
    "hold-skipped": Control(lambda put: put(budgets, "hold", lambda *_: True), "budget held other than its open holds"),
    "hold-kept": Control(lambda put: put(budgets, "settle", lambda *_: None), "held money"),
    "charge-skipped": Control(
        lambda put: put(charges, "charge", lambda *_, **__: True), "ended attempt without a charge"
    ),
    "entry-kept": Control(
        lambda put: put(type(TaskQueue.objects), "forget", lambda *_, **__: True), "terminal task with an entry"
    ),
    "dead-letter-skipped": Control(
        lambda put: put(type(TaskQueue.objects), "move_to_dlq", lambda *_, **__: None),
        "failed task without a dead letter that says so",
    ),
    "chunks-unfolded": Control(lambda put: put(chunks, "fold", lambda *_: None), "terminal task with unfolded chunks"),
}
"""Every guard that is broken, by name."""


def break_guard(name: str, put: Put = setattr) -> None:
    """Break the guard of that name in this process."""
    CONTROLS[name].breaks(put)
