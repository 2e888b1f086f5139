"""How tasks come in: the verbs of TaskQueue.objects that give them entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from queueing import fairness
from queueing.entries import NOTHING, Estimate, Queueable
from queueing.errors import AlreadyQueued
from queueing.states import EntryState, ParkedReason, Priority
from queueing.status import StatusVerbs

if TYPE_CHECKING:
    from queueing.models import QueueEntry


class EntryVerbs(StatusVerbs):
    """Part of the TaskQueue repository: they need its marks."""

    def enqueue(
        self, task: Queueable, *, estimate: Estimate = NOTHING, now: datetime, is_guarded: bool = False
    ) -> QueueEntry:
        """
        Give a task its place at the end of its user's share and return the entry.

        A task with a later `run_at` is parked until then. Moves only the entry; ai_tasks.submission writes the task in
        the same transaction. Raises QueueFull at a mark of the queue (for `bulk` work the soft one), of the user in it
        or of all, and AlreadyQueued when the task has a live entry; nothing is written then. With `is_guarded` the
        caller lets its own savepoint or transaction end with them: two round trips less.
        """
        (entry,) = self.enqueue_all([(task, estimate)], now=now, is_guarded=is_guarded)
        return entry

    def enqueue_with_priority(
        self, task: Queueable, priority: Priority, *, estimate: Estimate = NOTHING, now: datetime
    ) -> QueueEntry:
        """Give a task its place in that class; otherwise as `enqueue`."""
        (entry,) = self._enter([(task, estimate)], priority, now, is_guarded=False)
        return entry

    def enqueue_all(
        self, wanted: Sequence[tuple[Queueable, Estimate]], *, now: datetime, is_guarded: bool = False
    ) -> list[QueueEntry]:
        """
        Give several tasks of one user, in one class of one queue, places one after the other; as `enqueue`, or none.

        Four statements for however many.
        """
        return self._enter(wanted, Priority(wanted[0][0].priority), now, is_guarded=is_guarded)

    def _enter(
        self, wanted: Sequence[tuple[Queueable, Estimate]], priority: Priority, now: datetime, *, is_guarded: bool
    ) -> list[QueueEntry]:
        first, _ = wanted[0]
        queue, owner_key = self.queue(first.provider, first.lane), str(first.owner_id)
        marks = self._marks(queue, owner_key, priority)
        self._refuse_known_full(marks, queue, now)
        tokens = [sum(estimate) for _, estimate in wanted]
        try:
            with transaction.atomic(savepoint=not is_guarded):
                tags = fairness.next_tags(queue, priority=priority, owner_key=owner_key, tokens=tokens)
                rows = [self._entry(*each, priority, tag, now) for each, tag in zip(wanted, tags, strict=True)]
                entries = self.entries.bulk_create(rows)
                self._refuse_beyond(marks, queue, entries, now)
        except IntegrityError as error:
            which = f"Task {first.id}" if len(wanted) == 1 else "One of these tasks"
            raise AlreadyQueued(f"{which} is queued already.") from error
        return entries

    def _entry(self, task: Queueable, estimate: Estimate, priority: Priority, tag: float, now: datetime) -> QueueEntry:
        scheduled = task.run_at is not None and task.run_at > now
        return self.entries.model(
            task_id=task.id,
            task_type=task.type,
            provider=task.provider,
            lane=task.lane,
            model=task.model,
            owner_key=str(task.owner_id),
            payer_key=str(task.api_key_id or ""),
            priority=priority,
            fair_tag=tag,
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
