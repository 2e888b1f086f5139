"""The repository `TaskQueue.objects`: its verbs move the entry; the pair (task, entry) is moved by ai_tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Count, Q

from queueing import fairness
from queueing.dead_letters.verbs import DeadLetterVerbs
from queueing.entering import EntryVerbs
from queueing.entries import QueueEntryQuerySet
from queueing.statements import Param, Select
from queueing.states import LIVE_AT_PROVIDER, EntryState, Lane, ParkedReason, Priority

if TYPE_CHECKING:
    from queueing.models import PriorityClass, QueueEntry, TaskQueue

DEFAULT_LEASE = timedelta(seconds=90)


class TaskQueueManager(EntryVerbs, DeadLetterVerbs):
    """The TaskQueue repository."""

    # Taking.

    def peek(self, provider: str, limit: int = 1, *, lane: str = Lane.DEFAULT, now: datetime) -> list[QueueEntry]:
        """Return the entries that would be taken next, best first, without taking them."""
        picker = self.picker(self.queue(provider, lane), batch=limit, is_locking=False)
        found: list[QueueEntry] = []
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
        entries = self.entries.waiting()
        if is_locking:
            entries = entries.select_for_update(skip_locked=True)
        heads = list(queue.classes.with_heads(self.entries)) if clocks is None else clocks
        first = partial(self._head(batch, is_locking=is_locking).rows, provider=queue.provider, lane=queue.lane)
        entries = entries.of(queue.provider, queue.lane)
        return fairness.Picker(entries, heads, first=first, batch=batch, is_strict=queue.is_strict)

    @lru_cache(maxsize=64)  # noqa: B019 (managers live as long as the process)
    def _head(self, size: int, *, is_locking: bool) -> Select[QueueEntry]:
        wanted = {name: Param(name) for name in ("provider", "lane", "priority")}
        entries = self.entries.waiting().select_for_update(skip_locked=True) if is_locking else self.entries.waiting()
        return Select(lambda: entries.filter(**wanted).order_by("fair_tag", "id")[:size])

    def clocks(self, provider: str) -> dict[TaskQueue, list[PriorityClass]]:
        """
        Return a provider's queues with their classes, each with `head_id`: two queries, one index probe per class.

        The lane that was served longest ago comes first, so that neither starves under the other's flood.
        """
        found: dict[int, list[PriorityClass]] = {}
        for clock in self._classes.rows(provider=provider):
            found.setdefault(clock.queue_id, []).append(clock)
        queues = [(queue, found.get(queue.pk, [])) for queue in self._queues.rows(provider=provider)]
        return dict(sorted(queues, key=lambda item: (_last_served(item[1]), item[0].lane)))

    @cached_property
    def _queues(self) -> Select[TaskQueue]:
        return Select(lambda: self.filter(provider=Param("provider")))

    @cached_property
    def _classes(self) -> Select[PriorityClass]:
        classes = self.model.class_model().objects
        return Select(lambda: classes.filter(queue__provider=Param("provider")).with_heads(self.entries))

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

        An empty list means that nothing is runnable or the queue is paused. Never the same entry twice at once. Moves
        only the entry, and asks no limits: AIGenerationTask.objects.claim_next_pending_task does both.
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

    def handed_by_owner(self, provider: str) -> Counter[str]:
        """Count the entries that use a provider's slots, by user."""
        live = self.entries.at_provider().of(provider)
        return Counter(dict(live.values_list("owner_key").annotate(count=Count("id"))))

    def lock_share(self, provider: str, owner_key: str, count: int) -> bool:
        """
        Lock so many of a user's entries at the provider until the transaction ends; False: some of them may be going.

        Whoever then parks an entry of that user is seen by the next one that goes, which wakes it.
        """
        live = self.entries.at_provider().of(provider).filter(owner_key=owner_key)
        return len(live.select_for_update(skip_locked=True, no_key=True).values_list("pk")) >= count

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

    def move(self, entry: QueueEntry, *, provider: str, model: str, now: datetime) -> None:
        """
        Put an entry into another provider's queue, waiting, with a tag of that queue; its age is kept.

        Moves only the entry: ai_tasks.settlement writes the task in the same transaction.
        """
        queue = self.queue(provider, entry.lane)
        self.correct_share(entry, -entry.estimate_tokens)
        owner, tokens = entry.owner_key, entry.estimate_tokens
        tag = fairness.next_tag(queue, priority=entry.priority, owner_key=owner, tokens=tokens, is_moved=True)
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

        A chosen entry gets a new tag at the end of its user's share of its new class. A provider's entries get new tags
        from now on, each user's in the order they had. Entries that were handed over already stay.
        """
        if priorities is None:
            return sum(self._derive_anew(queue) for queue in self.filter(provider=provider or ""))
        chosen = self._movable().filter(task_id__in=priorities).select_for_update()
        entries = list(chosen.order_by("provider", "lane", "priority", "fair_tag", "id"))
        entries.sort(key=lambda entry: (entry.provider, entry.lane, priorities[entry.task_id]))
        for entry in entries:
            queue, priority = self.queue(entry.provider, entry.lane), priorities[entry.task_id]
            self.correct_share(entry, -entry.estimate_tokens)
            tokens = entry.estimate_tokens
            tag = fairness.next_tag(queue, priority=priority, owner_key=entry.owner_key, tokens=tokens, is_new=False)
            self.entries.filter(pk=entry.pk).update(priority=priority, fair_tag=tag)
        return len(entries)

    @transaction.atomic
    def set_weight(self, owner_id: int | str, weight: float, *, provider: str, lane: str | None = None) -> int:
        """
        Give a user's work at a provider this weight from now on and return how many of their entries moved.

        Tokens of a contended class are shared in proportion to the weights; everybody's is 1 until it is set.
        Raises ValueError for a weight that is not a positive number.
        """
        if not (0 < weight < float("inf")):
            raise ValueError("A weight must be a number above zero.")
        moved, owner_key = 0, str(owner_id)
        for each in Lane.values if lane is None else [lane]:
            queue = self.queue(provider, each)
            shares = [queue.shares.model(queue=queue, priority=priority, owner_key=owner_key) for priority in Priority]
            queue.shares.bulk_create(shares, ignore_conflicts=True)
            moved += self._derive_anew(queue, owner_key=owner_key, weight=weight)
        return moved

    def _movable(self) -> QueueEntryQuerySet:
        return self.entries.filter(state__in=(EntryState.WAITING, EntryState.PARKED))

    def _derive_anew(self, queue: TaskQueue, *, owner_key: str = "", weight: float | None = None) -> int:
        """Lock entries, then shares, as whoever enqueues does; then write the new tags."""
        whose = {"owner_key": owner_key} if owner_key else {}
        entries = self._movable().of(queue.provider, queue.lane).filter(**whose)
        moved = len(entries.select_for_update().order_by("pk").values_list("pk", flat=True))
        shares = queue.shares.filter(**whose)
        list(shares.select_for_update(of=("self",)).order_by("priority", "owner_key").values_list("pk"))
        if weight is not None:
            shares.update(weight=weight)
        fairness.derive_anew(queue, owner_key=owner_key)
        return moved


def _last_served(clocks: Iterable[PriorityClass]) -> datetime:
    return max((clock.last_served_at or fairness.LONG_AGO for clock in clocks), default=fairness.LONG_AGO)
