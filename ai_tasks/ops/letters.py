"""Send dead letters back, discard them, send an edited copy instead."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from ai_tasks.models import AIGenerationTask
from ai_tasks.ops import audit
from ai_tasks.ops.audit import By, Kind
from ai_tasks.oversight.actions import Action
from ai_tasks.redrives import edited, jobs
from queueing.dead_letters.verbs import Chosen
from queueing.models import DeadLetter, Redrive, TaskQueue


@transaction.atomic
def redrive(chosen: Chosen, by: By, *, provider: str = Redrive.SAME, rate: float | None = None) -> Redrive:
    """Begin a redrive, see ai_tasks.redrives.jobs, and return it."""
    job = jobs.begin(chosen, provider=provider, rate=rate, by=by.name, reason=by.reason, now=by.at)
    after = {"filter": _short(job.filters), "provider": provider, "rate": rate}
    audit.write(by, Action.REDRIVE, Kind.JOB, job.pk, after=after, count=job.total)
    return job


def discard(chosen: Chosen, by: By) -> int:
    """
    Mark open letters as discarded and return how many; their tasks stay as they ended.

    In bounded transactions, each with an entry of the audit. Raises BadFilter.
    """
    discarded = 0
    while count := _discard_some(chosen, by):
        discarded += count
    return discarded


@transaction.atomic
def _discard_some(chosen: Chosen, by: By) -> int:
    gone = TaskQueue.objects.discard_some(chosen, by=by.name, reason=by.reason, now=by.at)
    if gone:
        after = {"resolution": "discarded", "filter": _short(TaskQueue.objects.open_only(chosen))}
        key, before = gone[0] if len(gone) == 1 else "", {"resolution": "open"}
        audit.write(by, Action.DISCARD, Kind.DEAD_LETTER, key, before=before, after=after, count=len(gone))
    return len(gone)


@transaction.atomic
def redrive_edited(letter: DeadLetter, changes: Mapping[str, Any], by: By) -> AIGenerationTask:
    """Submit a changed copy of the letter's task, see ai_tasks.redrives.edited, and return it."""
    old = AIGenerationTask(pk=letter.task_id)
    copy = edited.redrive_edited(old, changes, by=by.name, reason=by.reason, now=by.at)
    # What was asked may be private: that it was changed is noted, not to what.
    before, after = {"task_id": str(letter.task_id)}, {"task_id": str(copy.pk), "changed": sorted(changes)}
    audit.write(by, Action.EDIT_REDRIVE, Kind.DEAD_LETTER, letter.pk, before=before, after=after)
    return copy


def _short(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked filters as the audit keeps them: of many ids only how many."""
    ids = filters.get("ids", [])
    return dict(filters) if len(ids) <= jobs.BATCH else {**filters, "ids": len(ids)}
