"""Tasks that will not run again by themselves: the dead-letter verbs of TaskQueue.objects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import QuerySet

from queueing.entries import QueueRows

if TYPE_CHECKING:
    from queueing.models import DeadLetter

VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\d+", re.IGNORECASE)


class DeadLetterQuerySet(QuerySet["DeadLetter"]):
    """Adjectives of dead letters."""

    def open(self) -> DeadLetterQuerySet:
        """Nobody has dealt with them."""
        return self.filter(resolution="open")


DeadLetterManager = models.Manager.from_queryset(DeadLetterQuerySet)


class DeadLetterVerbs(QueueRows):
    """Part of the TaskQueue repository."""

    @transaction.atomic
    def move_to_dlq(self, task_id: UUID, **letter: Any) -> DeadLetter:
        """
        Remove the task's entry, whatever its state, and write a dead letter; return it.

        `letter`: the fields of DeadLetter, without its fingerprint, which is derived. Moves only the entry: the callers
        in ai_tasks set the task's status in the same transaction. A second call for the same task returns the first.
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


def _fingerprint(error_class: str, message: str) -> str:
    shape = VARYING.sub("#", message)[:500]
    return sha256(f"{error_class}\n{shape}".encode()).hexdigest()[:40]
