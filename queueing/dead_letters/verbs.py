"""The dead-letter verbs of TaskQueue.objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, overload
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from queueing.dead_letters import filters as letter_filters
from queueing.dead_letters.fingerprint import MOST_READ, fingerprint
from queueing.dead_letters.managers import DeadLetterQuerySet
from queueing.dead_letters.models import DeadLetter, Redrive
from queueing.entries import NOTHING, Estimate, Queueable, QueueRows
from queueing.errors import BadFilter

DISCARDED_AT_ONCE = 1_000

Chosen = dict[str, Any] | Iterable[UUID | str | DeadLetter]
"""Filters by name, or letters, their ids or their tasks' ids."""


class DeadLetterVerbs(QueueRows):
    """Part of the TaskQueue repository."""

    @transaction.atomic
    def move_to_dlq(
        self,
        task: Queueable,
        reason: str,
        *,
        error_class: str = "",
        message: str = "",
        attempts: int = 0,
        payload_place: str = "",
        estimate: Estimate = NOTHING,
        now: datetime,
    ) -> DeadLetter:
        """
        Remove the task's entry, whatever its state, and write a dead letter; return it.

        `estimate` is the entry's where there is one. Moves only the entry: the callers in ai_tasks set the task's
        status in the same transaction. A second call for the same task returns the first letter, while that is open.
        """
        if entry := self.entries.for_task(task.id).select_for_update().first():
            estimate = Estimate(entry.estimate_input_tokens, entry.max_output_tokens)
            self.forget(entry)
        text = message[:MOST_READ].encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
        letter = {
            "task_type": task.type,
            "provider": task.provider,
            "model": task.model,
            "lane": task.lane,
            "owner_key": str(task.owner_id),
            "reason": reason,
            "error_class": error_class or reason,
            "message": text,
            "fingerprint": fingerprint(error_class or reason, text),
            "attempts": attempts,
            "payload_place": payload_place,
            "estimate_input_tokens": estimate.input_tokens,
            "max_output_tokens": estimate.max_output_tokens,
            "created_at": now,
        }
        dead, _ = DeadLetter.objects.get_or_create(task_id=task.id, resolution="open", defaults=letter)
        result: DeadLetter = dead
        return result

    def get_dlq_items(
        self, filters: Mapping[str, Any] | None = None, *, limit: int | None = None, **more: Any
    ) -> DeadLetterQuerySet:
        """
        Return dead letters, newest first: the open ones, unless `resolution` says otherwise.

        Filters by name, as a mapping or as keywords; queueing.dead_letters.filters lists them. Raises BadFilter.
        """
        found: DeadLetterQuerySet = DeadLetter.objects.matching({**(filters or {}), **more}).order_by("-id")
        return found if limit is None else found[:limit]

    def get_dlq_groups(self, filters: Mapping[str, Any] | None = None, *, now: datetime) -> QuerySet[Any]:
        """Return what the same letters have in common, largest group first; see `DeadLetterQuerySet.groups`."""
        return DeadLetter.objects.matching(filters or {}).groups(now)

    @overload
    def retry_from_dlq(
        self, chosen: Chosen, *, dry_run: Literal[True], now: datetime, **wish: Any
    ) -> QuerySet[Any]: ...

    @overload
    def retry_from_dlq(self, chosen: Chosen, *, now: datetime, **wish: Any) -> Redrive: ...

    def retry_from_dlq(
        self,
        chosen: Chosen,
        *,
        provider: str = Redrive.SAME,
        rate: float | None = None,
        dry_run: bool = False,
        by: str = "",
        reason: str = "",
        now: datetime,
    ) -> Redrive | QuerySet[Any]:
        """
        Store the wish to send open letters back and return the job; ai_tasks.redrives carries it out, in batches.

        `chosen`: filters, or ids of letters or tasks. `provider`: `same`, `fallback`, a provider of the tasks' routes,
        or `provider/model`. `rate`: tasks a second. With `dry_run` nothing is stored, and the groups that would be sent
        are returned. Moves no letter yet: each is moved together with its task. Raises BadFilter.
        """
        filters = self.open_only(chosen)
        if dry_run:
            return self.get_dlq_groups(filters, now=now)
        job: Redrive = Redrive.objects.create(
            filters=filters,
            provider=provider,
            rate_per_second=rate,
            requested_by=by[:150],
            reason=reason[:200],
            total=DeadLetter.objects.matching(filters).filter(created_at__lte=now).count(),
            created_at=now,
            due_at=now,
        )
        return job

    @transaction.atomic
    def take_from_dlq(
        self,
        task_ids: Iterable[UUID],
        *,
        by: str = "",
        reason: str = "",
        redrive: Redrive | None = None,
        new_task_id: UUID | None = None,
        now: datetime,
    ) -> list[UUID]:
        """
        Mark these tasks' open letters as redriven and return the ids of those that were open, in their order.

        Moves only the letters: the callers in ai_tasks make task and entry pending in the same transaction, or name the
        task that runs instead.
        """
        wanted = list(task_ids)
        letters = DeadLetter.objects.open().filter(task_id__in=wanted)
        is_open = dict(letters.select_for_update().order_by("id").values_list("task_id", "pk"))
        values = {"redrive": redrive, "redrive_outcome": "sent", "redrive_detail": ""} if redrive else {}
        DeadLetter.objects.filter(pk__in=is_open.values()).update(
            resolution="redriven",
            resolved_at=now,
            resolved_by=by[:150],
            resolution_reason=reason[:200],
            new_task_id=new_task_id,
            **values,
        )
        return [task_id for task_id in wanted if task_id in is_open]

    def discard_from_dlq(self, chosen: Chosen, *, by: str, reason: str, now: datetime) -> int:
        """
        Mark open letters as discarded, in bounded transactions, and return how many; their tasks stay as they ended.

        Raises BadFilter.
        """
        discarded = 0
        while gone := self.discard_some(chosen, by=by, reason=reason, now=now):
            discarded += len(gone)
        return discarded

    @transaction.atomic
    def discard_some(self, chosen: Chosen, *, by: str, reason: str, now: datetime) -> list[UUID]:
        """Discard the first of the chosen letters, a bounded number, and return their ids; none: all are done."""
        letters = DeadLetter.objects.matching(self.open_only(chosen)).filter(created_at__lte=now)
        # In the order of their ids, as redrives lock them.
        locked = letters.order_by("id").select_for_update()[:DISCARDED_AT_ONCE]
        gone = [letter.pk for letter in locked.only("pk")]
        values = {"resolution": "discarded", "resolved_by": by[:150], "resolution_reason": reason[:200]}
        DeadLetter.objects.filter(pk__in=gone).update(resolved_at=now, **values)
        return gone

    @staticmethod
    def open_only(chosen: Chosen) -> dict[str, Any]:
        """Return the filters that choose these letters as far as they are open, checked; raises BadFilter."""
        if isinstance(chosen, dict):
            filters = letter_filters.checked(chosen)
        else:
            ids = [each.pk if isinstance(each, DeadLetter) else each for each in chosen]
            filters = letter_filters.checked({"ids": ids})
        if filters.pop("resolution", ["open"]) != ["open"]:
            raise BadFilter("resolution", "Only open letters can be sent back or discarded.")
        return filters
