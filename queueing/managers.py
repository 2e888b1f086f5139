"""The repository `TaskQueue.objects`: its verbs move the entry; the pair (task, entry) is moved by ai_tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID, uuid4

from django.db import IntegrityError, models, transaction
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from queueing import fairness
from queueing.errors import AlreadyQueued, QueueFull
from queueing.states import LIVE_AT_PROVIDER, EntryState, Lane, ParkedReason, Priority

if TYPE_CHECKING:
    from queueing.models import DeadLetter, PriorityClass, QueueEntry, TaskQueue

DEFAULT_LEASE = timedelta(seconds=90)
MOST_WOKEN = 200
"""Entries that one freed key wakes: thousands may be parked for one budget, and few of them will fit."""
VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\d+", re.IGNORECASE)


class Queueable(Protocol):
    """What the queue needs to know of a task."""

    id: UUID
    owner_id: int
    type: str
    provider: str
    model: str
    lane: str
    priority: int
    epoch: int
    serial_key: str
    run_at: datetime | None
    deadline_at: datetime


class Estimate(NamedTuple):
    """Tokens that a task reserves."""

    input_tokens: int
    max_output_tokens: int


NOTHING = Estimate(0, 0)


class QueueEntryQuerySet(QuerySet["QueueEntry"]):
    """Adjectives of entries."""

    def of(self, provider: str, lane: str | None = None) -> QueueEntryQuerySet:
        """Of a provider, and of one lane when given."""
        return self.filter(provider=provider, **({"lane": lane} if lane else {}))

    def waiting(self) -> QueueEntryQuerySet:
        """Runnable now."""
        return self.filter(state=EntryState.WAITING)

    def parked(self) -> QueueEntryQuerySet:
        """Refused by a gate of their own."""
        return self.filter(state=EntryState.PARKED)

    def due(self, now: datetime) -> QueueEntryQuerySet:
        """Parked, and their time has come."""
        return self.parked().filter(parked_until__lte=now)

    def queued(self) -> QueueEntryQuerySet:
        """Handed to Celery, not begun."""
        return self.filter(state=EntryState.QUEUED)

    def running(self) -> QueueEntryQuerySet:
        """Leased to a worker."""
        return self.filter(state=EntryState.RUNNING)

    def at_provider(self) -> QueueEntryQuerySet:
        """Using a slot: queued or running."""
        return self.filter(state__in=LIVE_AT_PROVIDER)

    def with_lost_lease(self, now: datetime) -> QueueEntryQuerySet:
        """Running on a lease that has passed."""
        return self.running().filter(leased_until__lt=now)

    def for_task(self, task_id: UUID) -> QueueEntryQuerySet:
        """Of one task: one row or none."""
        return self.filter(task_id=task_id)

    def held_as(self, task_id: UUID, epoch: int, state: EntryState) -> QueueEntryQuerySet:
        """The fence: this task's entry, only in this state under this lease."""
        return self.filter(task_id=task_id, epoch=epoch, state=state)

    def park(self, *, reason: ParkedReason, key: str = "", until: datetime | None = None) -> int:
        """Move them aside until the key is freed or the time has come; return how many."""
        return self.update(
            state=EntryState.PARKED, parked_reason=reason, parked_key=key, parked_until=until, **UNLEASED
        )

    def wake(self) -> int:
        """Make them runnable again; return how many."""
        return self.update(state=EntryState.WAITING, parked_reason="", parked_key="", parked_until=None, **UNLEASED)


UNLEASED: dict[str, Any] = {"dispatch_id": None, "queued_at": None, "worker": None, "leased_until": None}


class QueueEntryManager(models.Manager.from_queryset(QueueEntryQuerySet)):  # type: ignore[misc]
    """Entries; people use TaskQueue.objects."""

    def wake_key(self, reason: ParkedReason, key: str) -> int:
        """
        Wake what is parked for this key, best first and a bounded number; return how many.

        What somebody else has locked is passed over, or two who wake each other's entries would lock each other out; the
        sweep finds it.
        """
        parked = self.parked().filter(parked_reason=reason, parked_key=key).order_by("priority", "fair_tag", "id")
        with transaction.atomic():
            free = list(parked.select_for_update(skip_locked=True).values_list("pk", flat=True)[:MOST_WOKEN])
            woken: int = self.filter(pk__in=free).wake()
        return woken


class PriorityClassQuerySet(QuerySet["PriorityClass"]):
    """Adjectives of classes."""

    def with_heads(self, entries: QueueEntryManager) -> PriorityClassQuerySet:
        """Each with `has_waiting`."""
        same = {"provider": OuterRef("queue__provider"), "lane": OuterRef("queue__lane")}
        head = entries.waiting().filter(priority=OuterRef("priority"), **same)
        return self.annotate(has_waiting=Exists(head))


PriorityClassManager = models.Manager.from_queryset(PriorityClassQuerySet)


class TaskQueueManager(models.Manager["TaskQueue"]):
    """The TaskQueue repository."""

    @property
    def entries(self) -> QueueEntryManager:
        """The entries of all queues."""
        manager: QueueEntryManager = self.model.entry_model().objects
        return manager

    def queue(self, provider: str, lane: str = Lane.DEFAULT) -> TaskQueue:
        """Return the queue's row, made with its five classes when it is first asked for."""
        if found := self.filter(provider=provider, lane=lane).first():
            return found
        with transaction.atomic():
            queue, made = self.get_or_create(provider=provider, lane=lane)
            if made:
                queue.classes.bulk_create([queue.classes.model(queue=queue, priority=each) for each in Priority])
        return queue

    # Adding and taking.

    def enqueue(self, task: Queueable, *, estimate: Estimate = NOTHING, now: datetime) -> QueueEntry:
        """
        Give a task its place at the end of its user's share and return the entry.

        A task with a later `run_at` is parked until then. Moves only the entry; ai_tasks.submission writes the task in
        the same transaction. Raises QueueFull at the hard mark and AlreadyQueued when the task has a live entry.
        """
        return self.enqueue_with_priority(task, Priority(task.priority), estimate=estimate, now=now)

    def enqueue_with_priority(
        self, task: Queueable, priority: Priority, *, estimate: Estimate = NOTHING, now: datetime
    ) -> QueueEntry:
        """Give a task its place in that class; otherwise as `enqueue`."""
        queue = self.queue(task.provider, task.lane)
        self._refuse_when_full(queue, now)
        owner_key = str(task.owner_id)
        scheduled = task.run_at is not None and task.run_at > now
        try:
            with transaction.atomic():
                return self.entries.create(
                    task_id=task.id,
                    task_type=task.type,
                    provider=task.provider,
                    lane=task.lane,
                    model=task.model,
                    owner_key=owner_key,
                    priority=priority,
                    fair_tag=fairness.next_tag(queue, priority=priority, owner_key=owner_key, tokens=sum(estimate)),
                    estimate_input_tokens=estimate.input_tokens,
                    max_output_tokens=estimate.max_output_tokens,
                    state=EntryState.PARKED if scheduled else EntryState.WAITING,
                    parked_reason=ParkedReason.SCHEDULED if scheduled else "",
                    parked_until=task.run_at if scheduled else None,
                    epoch=task.epoch,
                    serial_key=task.serial_key,
                    deadline_at=task.deadline_at,
                    enqueued_at=now,
                )
        except IntegrityError as error:
            raise AlreadyQueued(f"Task {task.id} is queued already.") from error

    def peek(self, provider: str, limit: int = 1, *, lane: str = Lane.DEFAULT, now: datetime) -> list[QueueEntry]:
        """Return the entries that would be taken next, best first, without taking them."""
        picker = self.picker(self.queue(provider, lane), batch=limit, is_locking=False)
        found = []
        for entry in picker:
            if len(found) == limit:
                break
            picker.serve(entry, now)
            found.append(entry)
        return found

    def picker(
        self, queue: TaskQueue, clocks: list[PriorityClass] | None = None, *, batch: int, is_locking: bool = True
    ) -> fairness.Picker:
        """Return an iterator over the queue's waiting entries, best first, locked (SKIP LOCKED where there is such)."""
        entries = self.entries.waiting().of(queue.provider, queue.lane)
        if is_locking:
            entries = entries.select_for_update(skip_locked=True)
        heads = list(queue.classes.with_heads(self.entries)) if clocks is None else clocks
        return fairness.Picker(entries, heads, batch=batch)

    def has_work(self, provider: str, now: datetime) -> bool:
        """Does anything wait, or is anything parked due? A look, without locks, before the price of an admission."""
        mine = self.entries.of(provider)
        return mine.waiting().exists() or mine.due(now).exists()

    def next_due(self, provider: str) -> datetime | None:
        """Return when the first of a provider's parked entries is due; None: none has a time."""
        soonest: datetime | None = self.entries.parked().of(provider).aggregate(soonest=Min("parked_until"))["soonest"]
        return soonest

    def clocks(self, provider: str) -> dict[TaskQueue, list[PriorityClass]]:
        """
        Return a provider's queues with their classes, each with `has_waiting`: one query, one index probe per class.

        The lane that was served longest ago comes first, so that neither starves under the other's flood.
        """
        classes = self.model.classes.rel.related_model.objects.filter(queue__provider=provider)
        found: dict[TaskQueue, list[PriorityClass]] = {}
        for clock in classes.with_heads(self.entries).select_related("queue"):
            found.setdefault(clock.queue, []).append(clock)
        return dict(sorted(found.items(), key=lambda item: (_last_served(item[1]), item[0].lane)))

    @transaction.atomic
    def dequeue(
        self,
        provider: str,
        limit: int = 1,
        *,
        lane: str = Lane.DEFAULT,
        worker: UUID,
        lease: timedelta = DEFAULT_LEASE,
        now: datetime,
    ) -> list[QueueEntry]:
        """
        Lease the best runnable entries to a worker and return them, best first, each with its epoch one higher.

        An empty list means that nothing is runnable or the queue is paused. Never the same entry twice at once. Moves only
        the entry, and asks no limits: AIGenerationTask.objects.claim_next_pending_task does both.
        """
        queue = self.queue(provider, lane)
        if queue.is_paused(now):
            return []
        picker = self.picker(queue, batch=limit)
        taken: list[QueueEntry] = []
        for entry in picker:
            if len(taken) == limit:
                break
            if self._lease(entry, worker=worker, until=now + lease, now=now):
                picker.serve(entry, now)
                taken.append(entry)
        picker.store()
        return taken

    def _lease(self, entry: QueueEntry, *, worker: UUID, until: datetime, now: datetime) -> bool:
        values = {"epoch": entry.epoch + 1, "worker": worker, "leased_until": until, "dispatch_id": uuid4()}
        if self.yields_to_another(entry):
            return False
        fence = self.entries.held_as(entry.task_id, entry.epoch, EntryState.WAITING)
        moved = fence.update(state=EntryState.RUNNING, queued_at=now, **values)
        for name, value in ({"state": EntryState.RUNNING} | values).items() if moved else ():
            setattr(entry, name, value)
        return bool(moved)

    def yields_to_another(self, entry: QueueEntry) -> bool:
        """
        Is it the turn of another entry of the same serial key? Then this one is parked until that one goes.

        The other is locked meanwhile: were it to go before the park is committed, nobody would wake this one. Where it
        is locked already it may be going; this one stays as it is, to be looked at again.
        """
        if not entry.serial_key:
            return False
        sooner = Q(pk__lt=entry.pk) | Q(state__in=LIVE_AT_PROVIDER)
        others = self.entries.filter(sooner, serial_key=entry.serial_key).exclude(pk=entry.pk)
        if not others.select_for_update(skip_locked=True, no_key=True).values_list("pk")[:1]:
            return others.exists()
        waiting = self.entries.filter(pk=entry.pk, state=EntryState.WAITING)
        waiting.park(reason=ParkedReason.EARLIER_REPLY, key=entry.serial_key)
        return True

    @transaction.atomic
    def remove(self, task_id: UUID, *, now: datetime) -> bool:
        """
        Take a task's entry out and return True; a running one is asked to stop, and False is returned.

        Moves only the entry: ai_tasks.submission.cancel moves the pair. What waited for its serial key is woken.
        """
        entry = self.entries.for_task(task_id).select_for_update().first()
        if entry is None:
            return False
        if entry.state == EntryState.RUNNING:
            self.entries.filter(pk=entry.pk, cancel_requested_at=None).update(cancel_requested_at=now)
            return False
        return self.forget(entry)

    def forget(self, entry: QueueEntry) -> bool:
        """Delete the entry if it still stands under this lease, and wake what waited for its serial key."""
        fence = self.entries.held_as(entry.task_id, entry.epoch, EntryState(entry.state))
        deleted = bool(fence.delete()[0])
        if deleted and entry.serial_key:
            self.entries.wake_key(ParkedReason.EARLIER_REPLY, entry.serial_key)
        return deleted

    def move(self, entry: QueueEntry, *, provider: str, model: str, now: datetime) -> None:
        """
        Put an entry into another provider's queue, waiting, with a tag of that queue; its age is kept.

        Moves only the entry: ai_tasks.settlement writes the task in the same transaction.
        """
        queue = self.queue(provider, entry.lane)
        tag = fairness.next_tag(queue, priority=entry.priority, owner_key=entry.owner_key, tokens=entry.estimate_tokens)
        row = self.entries.filter(pk=entry.pk)
        row.wake()
        row.update(provider=provider, model=model, fair_tag=tag)

    # Order.

    @transaction.atomic
    def reorder_by_priority(
        self, priorities: dict[UUID, Priority] | None = None, *, provider: str | None = None
    ) -> int:
        """
        Give chosen tasks' entries new priorities, or re-derive the order of a whole provider; return how many moved.

        Every entry so moved gets a new tag at the end of its user's share of the class, in the order they had. Entries
        that were handed over already stay.
        """
        wanted = priorities or {}
        chosen = self.entries.filter(state__in=(EntryState.WAITING, EntryState.PARKED))
        chosen = chosen.filter(task_id__in=wanted) if priorities is not None else chosen.of(provider or "")
        moved = 0
        for entry in chosen.select_for_update().order_by("priority", "fair_tag", "id"):
            priority = wanted.get(entry.task_id, Priority(entry.priority))
            if priorities is None and moved == 0:
                self._reset_shares(provider or "")
            queue = self.queue(entry.provider, entry.lane)
            tag = fairness.next_tag(queue, priority=priority, owner_key=entry.owner_key, tokens=entry.estimate_tokens)
            moved += self.entries.filter(pk=entry.pk).update(priority=priority, fair_tag=tag)
        return moved

    def _reset_shares(self, provider: str) -> None:
        for queue in self.filter(provider=provider):
            queue.shares.update(last_tag=0)

    # Status.

    def get_queue_length(self, provider: str, *, lane: str | None = None) -> int:
        """Count a provider's live entries: waiting, parked, queued and running."""
        return int(self.entries.of(provider, lane).count())

    def is_queue_full(self, provider: str, *, lane: str = Lane.DEFAULT) -> bool:
        """Has the queue reached its hard mark?"""
        queue = self.queue(provider, lane)
        return queue.hard_mark is not None and self._depth(queue, queue.hard_mark) >= queue.hard_mark

    def _depth(self, queue: TaskQueue, at_most: int) -> int:
        return int(self.entries.of(queue.provider, queue.lane)[:at_most].count())

    def _refuse_when_full(self, queue: TaskQueue, now: datetime) -> None:
        mark = queue.hard_mark
        if mark is None or (depth := self._depth(queue, mark)) < mark:
            return
        oldest = self.entries.queued().of(queue.provider, queue.lane).aggregate(oldest=Min("queued_at"))["oldest"]
        seconds = int((now - oldest).total_seconds()) + 1 if oldest else 30
        raise QueueFull(depth=depth, mark=mark, retry_after_seconds=min(max(seconds, 1), 300))

    def get_queue_stats(self, provider: str, *, lane: str | None = None, now: datetime) -> dict[str, Any]:
        """
        Return the counts of one provider's queue, and the longest wait.

        Keys: `waiting`, `parked` (by reason), `queued`, `running`, `dead` (open dead letters), `oldest_wait_seconds`.
        """
        entries = self.entries.of(provider, lane)
        states = dict(entries.values_list("state").annotate(count=Count("id")))
        oldest = entries.waiting().aggregate(oldest=Min("enqueued_at"))["oldest"]
        parked = entries.parked().values_list("parked_reason").annotate(count=Count("id"))
        letters = self.model.dead_letter_model().objects.open().filter(provider=provider)
        return {
            "waiting": states.get(EntryState.WAITING, 0),
            "parked": dict(parked),
            "queued": states.get(EntryState.QUEUED, 0),
            "running": states.get(EntryState.RUNNING, 0),
            "dead": letters.filter(**({"lane": lane} if lane else {})).count(),
            "oldest_wait_seconds": (now - oldest).total_seconds() if oldest else 0.0,
        }

    # Pause.

    def pause(self, provider: str, *, reason: str, until: datetime | None = None, now: datetime) -> int:
        """Stop admission and starts for all lanes of a provider; return how many lanes changed."""
        for lane in Lane:
            self.queue(provider, lane)
        paused = self.filter(provider=provider)
        return paused.update(paused_at=now, paused_until=until, pause_reason=reason[:200])

    def resume(self, provider: str) -> int:
        """Let a provider's lanes go on; return how many changed."""
        paused = self.filter(provider=provider, paused_at__isnull=False)
        return paused.update(paused_at=None, paused_until=None, pause_reason="")

    # Dead letters.

    @transaction.atomic
    def move_to_dlq(self, task_id: UUID, **letter: Any) -> DeadLetter:
        """
        Remove the task's entry, whatever its state, and write a dead letter; return it.

        `letter`: the fields of DeadLetter, without its fingerprint, which is derived. Moves only the entry: the callers
        in ai_tasks set the task's status in the same transaction. A second call for the same task returns the first letter.
        """
        if entry := self.entries.for_task(task_id).select_for_update().first():
            self.forget(entry)
        fingerprint = _fingerprint(letter["error_class"], letter["message"])
        letters = self.model.dead_letter_model().objects
        dead, _ = letters.get_or_create(
            task_id=task_id, resolution="open", defaults={"fingerprint": fingerprint, **letter}
        )
        result: DeadLetter = dead
        return result

    def get_dlq_items(self, **filters: Any) -> DeadLetterQuerySet:
        """Return open dead letters, newest first, filtered by any of DeadLetter's fields."""
        found: DeadLetterQuerySet = self.model.dead_letter_model().objects.open().filter(**filters).order_by("-id")
        return found

    @transaction.atomic
    def retry_from_dlq(self, task_ids: Iterable[UUID], *, now: datetime) -> list[UUID]:
        """
        Mark these tasks' open dead letters as redriven and return the ids of those that were open, in their order.

        Moves only the letters; ai_tasks.submission.retry makes task and entry pending again in the same transaction.
        """
        wanted = list(task_ids)
        letters = self.model.dead_letter_model().objects.open().filter(task_id__in=wanted)
        is_open = set(letters.select_for_update().values_list("task_id", flat=True))
        letters.update(resolution="redriven", resolved_at=now)
        return [task_id for task_id in wanted if task_id in is_open]


class DeadLetterQuerySet(QuerySet["DeadLetter"]):
    """Adjectives of dead letters."""

    def open(self) -> DeadLetterQuerySet:
        """Nobody has dealt with them."""
        return self.filter(resolution="open")


DeadLetterManager = models.Manager.from_queryset(DeadLetterQuerySet)


def _last_served(clocks: Iterable[PriorityClass]) -> datetime:
    return max((clock.last_served_at or fairness.LONG_AGO for clock in clocks), default=fairness.LONG_AGO)


def _fingerprint(error_class: str, message: str) -> str:
    shape = VARYING.sub("#", message)[:500]
    return sha256(f"{error_class}\n{shape}".encode()).hexdigest()[:40]
