"""How full, how old, how fast: the status verbs of TaskQueue.objects, and the pause."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Min

from queueing.entries import QueueRows
from queueing.errors import QueueFull
from queueing.states import EntryState, Lane

if TYPE_CHECKING:
    from queueing.models import TaskQueue


class StatusVerbs(QueueRows):
    """Part of the TaskQueue repository."""

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
