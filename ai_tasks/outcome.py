"""
Where a task and its entry go when an attempt has ended: back to the queue, to the next provider, or to their end.

Every function is part of its caller's transaction, which has entry and task locked.
"""

from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from ai_tasks import affordability, chunks, crash_points
from ai_tasks.accounts import charges
from ai_tasks.accounts.models import BudgetPeriod
from ai_tasks.lease import announce
from ai_tasks.policy import Decision, Step
from ai_tasks.states import TaskStatus
from ai_tasks.task_types import registry
from ai_tasks.webhooks import events
from queueing.entries import Estimate, share_key
from queueing.models import QueueEntry, TaskQueue
from queueing.statements import Param, Select
from queueing.states import ParkedReason


def carry_out(
    tasks: QuerySet[Any], entry: QueueEntry, task: Any, decision: Decision, what: dict[str, Any], now: datetime
) -> None:
    """Move task and entry as decided. Part of the caller's transaction, which has both locked."""
    if decision.is_alone:
        QueueEntry.objects.filter(pk=entry.pk).update(is_quarantined=True)
    position: int | None = task.route_position + (decision.step == Step.FALL_BACK)
    if decision.step in (Step.RETRY, Step.FALL_BACK) and task.max_cost_usd is not None:
        position = _paid_place(entry, task, decision.step, now)
    if position is None:
        bury(tasks, entry, task, TaskStatus.FAILED, "max_cost_reached", what, now)
    elif decision.step == Step.RETRY:
        requeue(tasks, entry, task, decision.until, now, error=what)
    elif decision.step == Step.FALL_BACK:
        _fall_back(tasks, entry, task, position, what, now)
    elif decision.step == Step.CANCEL:
        finish(tasks, entry, task, TaskStatus.CANCELLED, now, error=None)
    else:
        status = TaskStatus.TIMED_OUT if decision.step == Step.TIME_OUT else TaskStatus.FAILED
        bury(tasks, entry, task, status, decision.reason, what, now)


def _paid_place(entry: QueueEntry, task: Any, step: Step, now: datetime) -> int | None:
    """Return where on its route the task's own bound pays for another attempt, whose output cap it sets; or None."""
    here = task.route_position
    places = range(here + 1, len(task.route)) if step == Step.FALL_BACK else range(here, here + 1)
    found = affordability.next_place(entry, task, places, now)
    if found is None:
        return None
    position, entry.max_output_tokens = found
    QueueEntry.objects.filter(pk=entry.pk).update(max_output_tokens=entry.max_output_tokens)
    return position


def requeue(
    tasks: QuerySet[Any],
    entry: QueueEntry,
    task: Any,
    until: datetime | None,
    now: datetime,
    *,
    error: dict[str, Any] | None = None,
) -> None:
    """Make the pair wait again at its old place, or parked until then."""
    row = QueueEntry.objects.filter(pk=entry.pk)
    if until is not None and until > now:
        row.park(reason=ParkedReason.RETRY_BACKOFF, until=until)
    else:
        row.wake()
    tasks.filter(pk=task.pk).update(status=TaskStatus.PENDING, error=error, updated_at=now)
    announce(task, TaskStatus.PENDING)
    _wake_waiting_for(entry)


def _fall_back(
    tasks: QuerySet[Any], entry: QueueEntry, task: Any, position: int, what: dict[str, Any], now: datetime
) -> None:
    """Move the pair to the queue of the candidate at that place on its route."""
    provider, model = task.route[position]
    announce(task, TaskStatus.PENDING)
    task.provider, task.model = provider, model
    TaskQueue.objects.move(entry, provider=provider, model=model, now=now)
    tasks.filter(pk=task.pk).update(
        status=TaskStatus.PENDING, provider=provider, model=model, route_position=position, error=what, updated_at=now
    )
    announce(task, TaskStatus.PENDING)
    _wake_waiting_for(entry)


def bury(
    tasks: QuerySet[Any],
    entry: QueueEntry,
    task: Any,
    status: TaskStatus,
    reason: str,
    what: dict[str, Any],
    now: datetime,
) -> None:
    """End the task as failed or timed out, with a dead letter. Part of the caller's transaction."""
    finish(tasks, entry, task, status, now, error=what)
    TaskQueue.objects.move_to_dlq(
        task,
        reason,
        error_class=what["code"],
        message=what["message"],
        attempts=task.attempts.count(),
        payload_place=f"{task._meta.db_table}:{task.pk}",
        estimate=Estimate(entry.estimate_input_tokens, entry.max_output_tokens),
        now=now,
    )


def finish(
    tasks: QuerySet[Any],
    entry: QueueEntry,
    task: Any,
    status: TaskStatus,
    now: datetime,
    *,
    used_tokens: int = 0,
    **values: Any,
) -> None:
    """
    End the task in this status: entry gone, chunks folded, hooks noted, told. Part of the caller's transaction.

    `used_tokens`: what the last attempt used, where the user's share does not know it yet.
    """
    TaskQueue.objects.forget(entry, used_tokens=used_tokens)
    close(tasks, task, status, now, **values)
    _wake_waiting_for(entry)


def close(tasks: QuerySet[Any], task: Any, status: TaskStatus, now: datetime, **values: Any) -> None:
    """End a task that has no entry (any more) in this status. Part of the caller's transaction, which has it locked."""
    cost = charges.total_usd(task.pk)
    tasks.filter(pk=task.pk).update(status=status, finished_at=now, cost_usd=cost, updated_at=now, **values)
    chunks.fold(task)
    if registry.get(task.type).on_finished:
        task.finish_hooks.create(due_at=now)
    events.task_ended(task, status, now)
    come_by_the_end()
    announce(task, status)


def come_by_the_end() -> None:
    """Pass the crash points of a settlement that is written: before its commit and, before anybody is told, after."""
    transaction.on_commit(partial(crash_points.reached, "settled"))
    crash_points.reached("settling")


def _wake_waiting_for(entry: QueueEntry) -> None:
    """Wake what was parked for the model's slot, the money or the user's slot that this entry gave back."""
    freed = [(ParkedReason.BUDGET, str(budget_id)) for budget_id in _budgets_held_by(entry)]
    QueueEntry.objects.wake_keys([(ParkedReason.MODEL_LIMIT, f"{entry.provider}/{entry.model}"), *freed])
    QueueEntry.objects.wake_keys([(ParkedReason.USER_SHARE, share_key(entry))], most=1)


_budgets = Select(
    lambda: BudgetPeriod.objects.filter(
        holds__attempt__task=Param("task_id"), holds__attempt__epoch=Param("epoch")
    ).order_by()
)


def _budgets_held_by(entry: QueueEntry) -> list[int]:
    return [period.budget_id for period in _budgets.rows(task_id=entry.task_id, epoch=entry.epoch)]
