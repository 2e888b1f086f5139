"""Live entries and their priority classes: what TaskQueue.objects moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from django.db import connection, models, transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery

from queueing.statements import Param, Select, Update, UpdateEach
from queueing.states import LIVE_AT_PROVIDER, EntryState, Lane, ParkedReason, Priority

if TYPE_CHECKING:
    from queueing.models import PriorityClass, QueueEntry, TaskQueue

CORRECT_SHARE = """
UPDATE queueing_fairshare SET correction = correction + %s WHERE id IN (
    SELECT share.id FROM queueing_fairshare AS share JOIN queueing_taskqueue AS queue ON queue.id = share.queue_id
    WHERE queue.provider = %s AND queue.lane = %s AND share.priority = %s AND share.owner_key = %s {skipping}
)
"""
MOST_WOKEN = 200
"""Entries that one freed key wakes: thousands may be parked for one budget, and few of them will fit."""


class Queueable(Protocol):
    """What the queue needs to know of a task."""

    id: UUID
    owner_id: int
    api_key_id: int | None
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


class Handed(NamedTuple):
    """What names an entry that was handed over: its dispatch id is new each time."""

    task_id: UUID
    epoch: int
    dispatch_id: UUID


NOTHING = Estimate(0, 0)
Place = tuple[str, str, int, str]
"""Where a user's share stands: provider, lane, priority, and the user."""


def _place(entry: QueueEntry) -> Place:
    return entry.provider, entry.lane, entry.priority, entry.owner_key


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

    def wake_some(self, limit: int) -> int:
        """
        Make the first of them runnable, so many at most, and return how many.

        What somebody else has locked is passed over, or two who wake each other's entries would lock each other out;
        the next sweep finds it.
        """
        with transaction.atomic():
            free = list(self.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
            woken: int = self.model._default_manager.parked().filter(pk__in=free).wake()
        return woken

    def wake(self) -> int:
        """Make them runnable again; return how many."""
        return self.update(state=EntryState.WAITING, parked_reason="", parked_key="", parked_until=None, **UNLEASED)


UNLEASED: dict[str, Any] = {"dispatch_id": None, "queued_at": None, "worker": None, "leased_until": None}


class QueueEntryManager(models.Manager.from_queryset(QueueEntryQuerySet)):
    """Entries; people use TaskQueue.objects."""

    def hand_over(self, dispatches: Iterable[tuple[QueueEntry, UUID]], *, now: datetime) -> None:
        """Queue these waiting entries, each under its dispatch id, with the next epoch. The caller locked them."""
        moves = {"now": now, "state": EntryState.QUEUED}
        rows = [
            {"id": entry.pk, "epoch": entry.epoch + 1, "dispatch_id": dispatch_id, **moves}
            for entry, dispatch_id in dispatches
        ]
        if (moved := self._hand_over.run(rows)) != len(rows):
            raise RuntimeError(f"Of {len(rows)} locked entries {moved} were waiting.")

    @cached_property
    def _hand_over(self) -> UpdateEach[QueueEntry]:
        moves = {"state": "state", "epoch": "epoch", "dispatch_id": "dispatch_id", "queued_at": "now"}
        return UpdateEach(self.model, where={"id": "id"}, sets=moves, only={"state": EntryState.WAITING})

    def begin(self, handed: Sequence[Handed], *, worker: UUID, until: datetime) -> list[QueueEntry]:
        """Turn the entries that were queued under these dispatch ids into running ones, and return them."""
        return self._begin(handed, skips_locked=False, worker=worker, until=until)

    def begin_free(self, handed: Sequence[Handed], *, worker: UUID, until: datetime) -> list[QueueEntry]:
        """The same, but for those that somebody else has locked."""
        return self._begin(handed, skips_locked=True, worker=worker, until=until)

    def _begin(self, handed: Sequence[Handed], *, skips_locked: bool, **lease: Any) -> list[QueueEntry]:
        rows = [{**each._asdict(), **lease, "state": EntryState.RUNNING} for each in handed]
        return self._begun[skips_locked].rows(rows)

    @cached_property
    def _begun(self) -> dict[bool, UpdateEach[QueueEntry]]:
        held = {name: name for name in Handed._fields}
        moves = {"state": "state", "worker": "worker", "leased_until": "until"}
        return {
            skips: UpdateEach(self.model, where=held, sets=moves, only={"state": EntryState.QUEUED}, skips_locked=skips)
            for skips in (False, True)
        }

    def wake_key(self, reason: ParkedReason, key: str) -> int:
        """Wake what is parked for this key, best first and a bounded number; return how many."""
        return self.wake_keys([(reason, key)])

    @cached_property
    def _for_key(self) -> Select[QueueEntry]:
        wanted = {"parked_reason": Param("reason"), "parked_key": Param("key")}
        return Select(lambda: self.parked().filter(**wanted).order_by().values_list("pk")[:1])

    def wake_keys(self, keys: Iterable[tuple[ParkedReason, str]], *, most: int = MOST_WOKEN) -> int:
        """Wake what is parked for any of these keys, best first and `most` of them; return how many."""
        keys = list(keys)
        if not any(self._for_key.tuples(reason=reason, key=key) for reason, key in keys):
            return 0
        wanted = [Q(parked_reason=reason, parked_key=key) for reason, key in keys]
        parked = self.parked().filter(reduce(or_, wanted)).order_by("priority", "fair_tag", "id")
        return int(parked.wake_some(most))


def share_key(entry: QueueEntry) -> str:
    """Return what an entry waits for that is parked because its user has enough at the provider."""
    return f"{entry.provider}:{entry.owner_key}"


class PriorityClassQuerySet(QuerySet["PriorityClass"]):
    """Adjectives of classes."""

    def with_heads(self, entries: QueueEntryManager) -> PriorityClassQuerySet:
        """
        Each with `head_id`: that of the entry that waits first, None when none waits.

        Read by the index of the pick. An EXISTS would scan the table: a row of some class is found at once, of an empty
        class never.
        """
        same = {"provider": OuterRef("queue__provider"), "lane": OuterRef("queue__lane")}
        head = entries.waiting().filter(priority=OuterRef("priority"), **same).order_by("fair_tag", "id")
        return self.annotate(head_id=Subquery(head.values("id")[:1]))  # type: ignore[no-redef]


class PriorityClassManager(models.Manager.from_queryset(PriorityClassQuerySet)):
    """Classes."""

    def store(self, clocks: Iterable[PriorityClass]) -> None:
        """Write how far these clocks have moved."""
        self._store.run(
            *(
                {"pk": each.pk, "time": each.virtual_time, "served_at": each.last_served_at, "served": each.served}
                for each in clocks
            )
        )

    @cached_property
    def _store(self) -> Update[PriorityClass]:
        return Update(
            lambda: self.filter(pk=Param("pk")),
            virtual_time=Param("time"),
            last_served_at=Param("served_at"),
            served=Param("served"),
        )


class QueueRows(models.Manager["TaskQueue"]):
    """What every part of the TaskQueue repository stands on."""

    @property
    def entries(self) -> QueueEntryManager:
        """The entries of all queues."""
        manager: QueueEntryManager = self.model.entry_model().objects
        return manager

    @cached_property
    def _queue(self) -> Select[TaskQueue]:
        return Select(lambda: self.filter(provider=Param("provider"), lane=Param("lane")))

    def queue(self, provider: str, lane: str = Lane.DEFAULT) -> TaskQueue:
        """Return the queue's row, made with its five classes when it is first asked for."""
        if found := self._queue.rows(provider=provider, lane=lane):
            return found[0]
        with transaction.atomic():
            queue, made = self.get_or_create(provider=provider, lane=lane)
            if made:
                queue.classes.bulk_create([queue.classes.model(queue=queue, priority=each) for each in Priority])
        return queue

    def forget(self, entry: QueueEntry, *, used_tokens: int = 0) -> bool:
        """
        Delete the entry if it still stands under this lease, and wake what waited for its serial key.

        Its user is charged for what its last attempt used instead of the estimate.
        """
        return bool(self.forget_all([(entry, used_tokens)]))

    def forget_all(self, ended: Sequence[tuple[QueueEntry, int]]) -> int:
        """Do so for several, each with the tokens it used; return how many stood under their leases."""
        fences = [Q(task_id=entry.task_id, epoch=entry.epoch, state=entry.state) for entry, _ in ended]
        deleted: int = self.entries.filter(reduce(or_, fences)).delete()[0]
        if deleted not in (0, len(ended)):
            raise RuntimeError(f"Of {len(ended)} locked entries {deleted} stood under their leases.")
        owed: Counter[Place] = Counter()
        for entry, used_tokens in ended if deleted else ():
            owed[_place(entry)] += used_tokens - entry.estimate_tokens
            if entry.serial_key:
                self.entries.wake_key(ParkedReason.EARLIER_REPLY, entry.serial_key)
        for place in sorted(owed):
            self._correct(place, owed[place])
        return deleted

    def correct_share(self, entry: QueueEntry, tokens: int) -> None:
        """
        Charge the entry's user with so many tokens more, less than zero: fewer, at their next tag; one statement.

        A share that a submission has locked is passed over: a settlement must not wait for one of a thousand tasks.
        """
        self._correct(_place(entry), tokens)

    def _correct(self, place: Place, tokens: int) -> None:
        if tokens:
            skipping = "FOR UPDATE OF share SKIP LOCKED" if connection.vendor == "postgresql" else ""
            with connection.cursor() as cursor:
                cursor.execute(CORRECT_SHARE.format(skipping=skipping), [float(tokens), *place])
