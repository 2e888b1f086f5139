"""
The net beneath the walk: what a dead process, a lost message or a missed wake-up left behind.

Idempotent and bounded; each predicate is repeated under the row's lock, so that two beats, a late one or none for a
while do no harm.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Exists, F, OuterRef, Q

from ai_tasks import crash_points, dispatch, finish_hooks, lease, outcome, settlement, submission
from ai_tasks.access.idempotency import REMEMBERED_FOR
from ai_tasks.accounts import budgets, charges
from ai_tasks.accounts.fields import QUANTUM
from ai_tasks.accounts.models import Attempt, AttemptState, Budget, LedgerEntry
from ai_tasks.admission import Dispatch
from ai_tasks.capacity import UNLIMITED
from ai_tasks.models import AIGenerationTask, BulkJob, Chunk, IdempotencyRecord, WebSocketTicket, WorkerProcess
from ai_tasks.states import ChunkKind, TaskStatus
from ai_tasks.task_types import registry
from providers import gateway, routing
from providers.types import Limits, Usage, UsageSource
from queueing.models import QueueEntry, Redrive, TaskQueue
from queueing.states import LIVE_AT_PROVIDER, EntryState, ParkedReason

logger = logging.getLogger(__name__)

BATCH = 500
MESSAGE_PATIENCE = timedelta(seconds=10)
"""How long a handed-over entry may stand in the broker before its message counts as lost."""
NO_ENTRY_PATIENCE = timedelta(seconds=30)
FORGET_WORKERS_AFTER = timedelta(days=1)


Row = TypeVar("Row", QueueEntry, Attempt, AIGenerationTask)


def _each(rows: Iterable[Row], act: Callable[[Row], object]) -> int:
    """
    Act on each row, locked and as it is then, in a transaction of its own; return how many it moved.

    One that fails hurts only itself; one that is gone, or that somebody else has locked (another beat, whoever settles
    it), is passed over.
    """
    moved = 0
    for row in rows:
        try:
            with transaction.atomic():
                fresh = _locked(row)
                moved += bool(fresh and act(fresh))
                crash_points.reached("sweeping")
            crash_points.reached("swept")
        except DatabaseError as error:
            logger.warning("The %s %s was passed over: %s", row._meta.verbose_name, row, error)
        except Exception:
            logger.exception("The %s %s could not be swept.", row._meta.verbose_name, row)
    return moved


def _locked(row: Row) -> Row | None:
    """Return the row as it is now, locked; None: it is gone or in other hands. A task is locked before its attempt."""
    tasks = AIGenerationTask.objects.select_for_update(skip_locked=True)
    if isinstance(row, Attempt) and not tasks.filter(pk=row.task_id).values_list("pk")[:1]:
        return None
    found: Row | None = type(row)._default_manager.select_for_update(skip_locked=True).filter(pk=row.pk).first()
    return found


def rescue_lost_leases(now: datetime) -> int:
    """Take running entries whose lease has passed away from their workers; return how many."""
    lost = QueueEntry.objects.with_lost_lease(now).order_by("leased_until")[:BATCH]
    return _each(lost, lambda entry: settlement.lose(AIGenerationTask.objects.all(), entry, now))


def rescue_from_dead_processes(now: datetime) -> int:
    """
    Take over everything that was handed to or running in processes of an embedded installation's earlier life.

    Only for a process that knows itself to be alone with its database: no lease is waited for.
    """
    running = QueueEntry.objects.running().order_by("id")
    running.update(leased_until=now - timedelta(seconds=1))
    tasks = AIGenerationTask.objects.all()
    rescued = _each(running, lambda entry: settlement.lose(tasks, entry, now, is_verdict=False))
    queued = QueueEntry.objects.queued().order_by("id")
    WorkerProcess.objects.all().delete()
    for jobs in (Redrive.objects, BulkJob.objects):
        jobs.running().update(runner=None, leased_until=None)
    return rescued + _each(queued, lambda entry: lease.give_back(tasks, entry, now))


def send_lost_messages(now: datetime) -> int:
    """Send entries again that stand in Celery for too long, under the same dispatch id; return how many."""
    lost = QueueEntry.objects.queued().filter(queued_at__lt=now - MESSAGE_PATIENCE).order_by("queued_at")
    return _each(lost[:BATCH], lambda entry: _send_again(entry, now))


def _send_again(entry: QueueEntry, now: datetime) -> bool:
    """Note the new time first: if the message is taken at once, the entry is not queued any more."""
    fence = QueueEntry.objects.held_as(entry.task_id, entry.epoch, EntryState.QUEUED)
    if not fence.filter(queued_at=entry.queued_at).update(queued_at=now) or entry.dispatch_id is None:
        return False
    message = Dispatch(
        entry.task_id, entry.epoch, entry.dispatch_id, entry.provider, entry.lane, is_alone=entry.is_quarantined
    )
    transaction.on_commit(lambda: dispatch.send(message), robust=True)
    return True


def time_out(now: datetime) -> int:
    """
    End tasks whose deadline has passed while they waited, and ask running ones to stop; return how many.

    A running one stops itself by its call's time limit; its entry is the rescue's if its worker is dead.
    """
    late = QueueEntry.objects.filter(deadline_at__lt=now).exclude(state=EntryState.RUNNING).order_by("deadline_at")
    return _each(late[:BATCH], lambda entry: _time_out(entry, now))


def _time_out(entry: QueueEntry, now: datetime) -> bool:
    if entry.state == EntryState.RUNNING or entry.deadline_at >= now:
        return False
    task = AIGenerationTask.objects.select_for_update().get(pk=entry.task_id)
    lease.release_attempt(entry, now)
    what = {"code": "deadline", "message": "Its deadline passed before it was done.", "retryable": True}
    tasks = AIGenerationTask.objects.all()
    outcome.bury(tasks, entry, task, TaskStatus.TIMED_OUT, "deadline", what, now)
    transaction.on_commit(partial(finish_hooks.run_for, task.pk), robust=True)
    return True


def charge_lost(now: datetime) -> int:
    """Charge lost attempts that no late result settled within the grace, by estimate; return how many."""
    uncharged = ~Exists(LedgerEntry.objects.filter(attempt=OuterRef("pk"), kind=LedgerEntry.Kind.CHARGE))
    lost = Attempt.objects.filter(
        uncharged, state=AttemptState.LOST, finished_at__lt=now - settings.AI_LOST_CHARGE_GRACE
    )
    return _each(lost.order_by("finished_at")[:BATCH], lambda attempt: _charge_lost(attempt, now))


def _charge_lost(attempt: Attempt, now: datetime) -> bool:
    """Input by its size, output by what was streamed: never below what is known to have been used."""
    task: Any = AIGenerationTask.objects.select_for_update().get(pk=attempt.task_id)
    pieces = Chunk.objects.after(task.pk, 0)
    spoken = "".join(piece.data for piece in pieces if piece.epoch == attempt.epoch and piece.kind != ChunkKind.RESET)
    usage = replace(_count(task, attempt, spoken), source=UsageSource.ESTIMATED)
    if not charges.charge(attempt, task, usage, reason="its worker was lost", now=now):
        return False
    Attempt.objects.filter(pk=attempt.pk).update(**charges.buckets(usage))
    AIGenerationTask.objects.filter(pk=task.pk, finished_at__isnull=False).update(cost_usd=charges.total_usd(task.pk))
    budgets.wake(attempt.holds.values_list("period__budget", flat=True))
    return True


def _count(task: Any, attempt: Attempt, spoken: str) -> Usage:
    try:
        return registry.get(task.type).build(task).used(spoken)
    except Exception as error:
        # What it was built from is gone; the bound is charged, for the money must not stay held.
        logger.warning("The prompt of task %s cannot be built again: %r", task.pk, error)
        return replace(gateway.count_usage((), spoken), input_tokens=attempt.reserved_tokens)


def mend_tasks_without_entry(now: datetime) -> int:
    """Give pending tasks that have no entry a new one; it should never find any, so each is logged as an error."""
    entries = QueueEntry.objects.filter(task_id=OuterRef("pk"))
    old = AIGenerationTask.objects.pending().filter(updated_at__lt=now - NO_ENTRY_PATIENCE)
    orphans = old.filter(~Exists(entries)).order_by("id")[:BATCH]
    return _each(orphans, lambda task: _mend(task, now))


def _mend(task: AIGenerationTask, now: datetime) -> bool:
    if task.status != TaskStatus.PENDING or QueueEntry.objects.for_task(task.pk).exists():
        return False
    logger.error("Task %s was pending without a queue entry.", task.pk)
    submission.enqueue_again(task, now)
    return True


def wake_series(now: datetime) -> int:
    """Wake entries that are parked for an earlier one of their serial key which is gone; return how many."""
    sooner = Q(pk__lt=OuterRef("pk")) | Q(state__in=LIVE_AT_PROVIDER)
    others = QueueEntry.objects.filter(sooner, serial_key=OuterRef("serial_key")).exclude(pk=OuterRef("pk"))
    parked = QueueEntry.objects.parked().filter(parked_reason=ParkedReason.EARLIER_REPLY)
    free = parked.filter(~Exists(others)).order_by("pk").values_list("pk", flat=True)
    return parked.filter(pk__in=list(free[:BATCH])).order_by("pk").wake_some(BATCH)


def wake_shares(now: datetime) -> int:
    """Wake what is parked for its user's share where there is room, as an edited bound makes it; return how many."""
    woken = 0
    for key in list(_keys(ParkedReason.USER_SHARE)):
        provider, _, owner_key = key.partition(":")
        bounds = TaskQueue.objects.filter(provider=provider).values_list("user_slots", flat=True)
        bound = max((UNLIMITED if slots is None else slots for slots in bounds), default=UNLIMITED)
        room = bound - TaskQueue.objects.handed_by_owner(provider)[owner_key]
        if room > 0:
            woken += QueueEntry.objects.wake_keys([(ParkedReason.USER_SHARE, key)], most=min(room, BATCH))
    return woken


def wake_parked(now: datetime) -> int:
    """Wake some of what is parked for money or for a limit that has room again, in case nobody did; return how many."""
    for_money = set(_keys(ParkedReason.BUDGET))
    in_force = Budget.objects.filter(pk__in=for_money, is_enabled=True)
    tight = {str(budget.pk) for budget in in_force if budgets.exhausted([budget], QUANTUM, now)}
    woken = sum(QueueEntry.objects.wake_key(ParkedReason.BUDGET, key) for key in for_money - tight)
    woken += sum(QueueEntry.objects.wake_key(ParkedReason.UNPRICED, key) for key in _keys(ParkedReason.UNPRICED))
    return woken + sum(_wake_what_fits(key) for key in _keys(ParkedReason.UNSATISFIABLE))


def _keys(reason: ParkedReason) -> Iterable[str]:
    parked = QueueEntry.objects.parked().filter(parked_reason=reason)
    return parked.order_by().values_list("parked_key", flat=True).distinct()


def _wake_what_fits(key: str) -> int:
    """An operator may have raised the limit that entries were too large for."""
    provider, _, model = key.partition("/")
    limits = routing.limits(provider)
    bounds = (limits[""].tokens_per_minute, limits.get(model, Limits()).tokens_per_minute)
    bound = min((each for each in bounds if each is not None), default=UNLIMITED)
    parked = QueueEntry.objects.parked().filter(parked_reason=ParkedReason.UNSATISFIABLE, parked_key=key)
    return parked.filter(estimate_input_tokens__lte=bound - F("max_output_tokens")).wake()


def tidy(now: datetime) -> int:
    """Delete expired tickets, old idempotency keys and worker processes long gone; return how many rows."""
    old = (
        WebSocketTicket.objects.filter(expires_at__lt=now),
        IdempotencyRecord.objects.filter(created_at__lt=now - REMEMBERED_FOR),
        WorkerProcess.objects.filter(last_seen_at__lt=now - FORGET_WORKERS_AFTER),
    )
    return sum(rows.delete()[0] for rows in old)
