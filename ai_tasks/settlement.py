"""
Station 6, SETTLE: one transaction ends an attempt: status, result, last chunks, usage, charge, holds, entry.

Every function is fenced by (task, epoch, running) and returns False, having changed nothing of the task, when the
lease was lost. What a lost lease's call used is still charged: it was started, so it is paid, once.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from ai_tasks import breaker, chunks, doorbell, outcome, policy
from ai_tasks.accounts import attempts, charges
from ai_tasks.accounts.models import Attempt, AttemptState, LedgerEntry
from ai_tasks.chunks import Piece
from ai_tasks.lease import announce, release_attempt
from ai_tasks.states import ACTIVE, TaskStatus
from ai_tasks.task_types import registry
from ai_tasks.webhooks.models import WebhookEndpoint
from providers import control
from providers.errors import ProviderError, RateLimited
from providers.types import Usage, UsageSource, storable
from queueing.models import QueueEntry, TaskQueue
from queueing.statements import Param, Select
from queueing.states import EntryState

NOTHING_USED = Usage(source=UsageSource.COUNTED)


def _locked(tasks: QuerySet[Any], task_id: UUID, epoch: int) -> tuple[QueueEntry, Any, Attempt] | None:
    """Return the entry, task and attempt of a running lease, locked in the order of locks; None: it was lost."""
    entries = _running_entry.rows(task_id=task_id, epoch=epoch)
    if not entries:
        return None
    (entry,) = entries
    (task,) = _task_row(tasks.model).rows(pk=task_id)  # type: ignore[arg-type]
    (attempt,) = _attempt_row.rows(task_id=task_id, epoch=epoch)
    task.cancel_requested_at = task.cancel_requested_at or entry.cancel_requested_at
    return entry, task, attempt


_running_entry = Select(
    lambda: QueueEntry.objects.held_as(Param("task_id"), Param("epoch"), EntryState.RUNNING).select_for_update()
)
_attempt_row = Select(lambda: Attempt.objects.of_lease(Param("task_id"), Param("epoch")).order_by())


@cache
def _task_row(model: type[Any]) -> Select[Any]:
    is_heard = Exists(WebhookEndpoint.objects.listening().filter(owner=OuterRef("owner")))
    return Select(
        lambda: model.objects.select_for_update().filter(pk=Param("pk")).annotate(is_heard=is_heard).order_by()
    )


@transaction.atomic
def fail(
    tasks: QuerySet[Any],
    task_id: UUID,
    epoch: int,
    error: ProviderError,
    *,
    pieces: Sequence[Piece] = (),
    first_token_at: datetime | None = None,
    now: datetime,
) -> bool:
    """
    End the attempt with this error and do what the policy says: retry, fall back, cancel, time out or dead-letter.

    False when the lease was lost.
    """
    usage = error.usage or NOTHING_USED
    held = _locked(tasks, task_id, epoch)
    if held is None:
        charge_late(tasks, task_id, epoch, usage, now)
        return False
    entry, task, attempt = held
    chunks.write(task, pieces)
    attempts.end(attempt, AttemptState.FAILED, usage, now, first_token_at=first_token_at, error=error)
    charged = charges.charge_running([(attempt, task, usage, "")], now)
    TaskQueue.objects.correct_share(entry, usage.total)
    counter = "tries" if error.used_up else "infrastructure_tries"
    setattr(task, counter, getattr(task, counter) + 1)
    tasks.filter(pk=task_id).update(**{counter: F(counter) + 1})
    if isinstance(error, RateLimited):
        control.block(attempt.provider, until=now + policy.retry_after(error), now=now)
    breaker.failed(attempt, error, now)
    task.cost_usd = charges.total_usd(task_id)
    decision = policy.after_error(task, registry.get(task.type), error, now)
    what = {"code": error.code, "message": storable(str(error))[:500], "retryable": error.retryable}
    charges.settle(charged, now)
    outcome.carry_out(tasks, entry, task, decision, what, now)
    return True


@transaction.atomic
def stop(
    tasks: QuerySet[Any],
    task_id: UUID,
    epoch: int,
    usage: Usage,
    *,
    pieces: Sequence[Piece] = (),
    is_cancelled: bool,
    now: datetime,
) -> bool:
    """
    End a running attempt that we stopped ourselves: the task is cancelled, or, when its worker drains, pending again.

    What the call used so far is charged. False when the lease was lost.
    """
    held = _locked(tasks, task_id, epoch)
    if held is None:
        charge_late(tasks, task_id, epoch, usage, now)
        return False
    entry, task, attempt = held
    chunks.write(task, pieces)
    attempts.end(attempt, AttemptState.CANCELLED, usage, now)
    breaker.end_probe(attempt)
    why = "stopped before the provider reported its usage"
    charged = charges.charge_running([(attempt, task, usage, why)], now)
    TaskQueue.objects.correct_share(entry, usage.total)
    charges.settle(charged, now)
    if not is_cancelled and not task.cancel_requested_at:
        tasks.filter(pk=task_id).update(deferrals=F("deferrals") + 1)
        outcome.requeue(tasks, entry, task, None, now)
        return True
    written = "".join(piece.data for piece in chunks.current(task))
    output = {"text": written, "finish_reason": "cancelled", "truncated": True}
    outcome.finish(
        tasks, entry, task, TaskStatus.CANCELLED, now, output=output, usage=charges.public_usage(usage), error=None
    )
    return True


@transaction.atomic
def cancel(tasks: QuerySet[Any], task_id: UUID, now: datetime) -> None:
    """
    Cancel a live task; idempotent.

    One that waits ends at once, also where its entry is missing. One that runs is asked to stop; an answer that is
    complete by then wins.
    """
    entry = QueueEntry.objects.for_task(task_id).select_for_update().first()
    task = tasks.select_for_update().get(pk=task_id)
    if task.status not in ACTIVE:
        return
    tasks.filter(pk=task_id, cancel_requested_at=None).update(cancel_requested_at=now, updated_at=now)
    if entry is None:
        if task.status == TaskStatus.PENDING:
            outcome.close(tasks, task, TaskStatus.CANCELLED, now, error=None)
    elif entry.state == EntryState.RUNNING:
        TaskQueue.objects.remove(task_id, now=now)
        announce(task, task.status)
    else:
        release_attempt(entry, now)
        outcome.finish(tasks, entry, task, TaskStatus.CANCELLED, now, error=None)


@transaction.atomic
def lose(tasks: QuerySet[Any], entry: QueueEntry, now: datetime, *, is_verdict: bool = True) -> bool:
    """
    Take a running entry away from a worker whose lease has passed.

    The predicate is repeated under the lock. The attempt is `lost`: a late result still settles its money, else it is
    charged by estimate after the grace. `is_verdict`: a crash of a task that ran alone is its own doing.
    """
    if not Attempt.objects.of_lease(entry.task_id, entry.epoch).exists():
        return _put_back(tasks, entry, now)
    held = _locked(tasks, entry.task_id, entry.epoch)
    if held is None or held[0].leased_until is None or held[0].leased_until >= now:
        return False
    entry, task, attempt = held
    started = Attempt.objects.filter(pk=attempt.pk, state=AttemptState.STARTED)
    started.update(state=AttemptState.LOST, finished_at=now, error_class="worker_lost")
    breaker.end_probe(attempt)
    task.crashes += 1
    tasks.filter(pk=task.pk).update(crashes=F("crashes") + 1)
    what = {"code": "worker_lost", "message": "The worker that ran it went away.", "retryable": True}
    decision = policy.after_crash(task, now, was_alone=entry.is_quarantined and is_verdict)
    outcome.carry_out(tasks, entry, task, decision, what, now)
    return True


def _put_back(tasks: QuerySet[Any], entry: QueueEntry, now: datetime) -> bool:
    """Make an entry wait again whose lease has passed and that `TaskQueue.dequeue` leased, without its task."""
    lost = QueueEntry.objects.with_lost_lease(now).filter(pk=entry.pk, epoch=entry.epoch)
    if not lost.wake():
        return False
    tasks.filter(pk=entry.task_id, status=TaskStatus.PENDING, epoch__lt=entry.epoch).update(epoch=entry.epoch)
    transaction.on_commit(partial(doorbell.ring, entry.provider), robust=True)
    return True


@transaction.atomic
def give_up(tasks: QuerySet[Any], task_id: UUID, reason: str, message: str, now: datetime) -> bool:
    """
    End a pending task as failed, with a dead letter that says why; False when it is not pending.

    What was handed over but not begun is taken back: it costs nothing. One that runs is not touched.
    """
    entry = QueueEntry.objects.for_task(task_id).exclude(state=EntryState.RUNNING).select_for_update().first()
    task = tasks.select_for_update().filter(pk=task_id, status=TaskStatus.PENDING).first()
    if entry is None or task is None:
        return False
    release_attempt(entry, now)
    what = {"code": reason, "message": storable(message)[:500], "retryable": True}
    outcome.bury(tasks, entry, task, TaskStatus.FAILED, reason, what, now)
    return True


def charge_late(tasks: QuerySet[Any], task_id: UUID, epoch: int, usage: Usage, now: datetime) -> bool:
    """
    Charge a started attempt that lost its lease, if nobody has; correct an estimate that came before its real usage.

    The task's cost changes, nothing else. False when there was nothing to do.
    """
    task = tasks.select_for_update().filter(pk=task_id).first()
    attempt = Attempt.objects.of_lease(task_id, epoch).select_for_update().first()
    if task is None or attempt is None or attempt.started_at is None:
        return False
    reason = "" if usage.source == UsageSource.PROVIDER else "its worker had lost the lease"
    if not charges.charge(attempt, task, usage, reason=reason, now=now) and not _correct(attempt, usage, now):
        return False
    Attempt.objects.filter(pk=attempt.pk).update(**charges.buckets(usage))
    if task.finished_at:
        tasks.filter(pk=task_id).update(cost_usd=charges.total_usd(task_id))
    return True


def _correct(attempt: Attempt, usage: Usage, now: datetime) -> bool:
    """Adjust an estimated charge to the usage that its provider has told meanwhile."""
    if usage.source == UsageSource.ESTIMATED:
        return False
    estimate = attempt.ledger.filter(kind=LedgerEntry.Kind.CHARGE, usage_source=UsageSource.ESTIMATED).first()
    return estimate is not None and charges.adjust(estimate, usage, reason="its usage came late", now=now) is not None
