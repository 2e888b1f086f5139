"""
Deletes what has been kept for long enough; each kind in batches of their own transactions.

Tasks, attempts and the ledger stay for good: they are the bill. What a task was asked and answered can go without it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from ai_tasks.accounts.coverage import MINUTES_KEPT, TASKS, rolled_until
from ai_tasks.accounts.models import Attempt
from ai_tasks.accounts.rollup_models import Period, TaskStat
from ai_tasks.batches.models import BatchLine, FileBlock, StoredFile
from ai_tasks.models import AIGenerationTask, Alert, Chunk, FinishHook, JobOutcome, ResponseRecord, WebhookDelivery
from queueing.models import DeadLetter

BATCH = 500
MOST_BATCHES = 20
BLOCKS = 50
"""Of a file, with up to some megabytes each, in one transaction."""
UPLOAD = timedelta(days=1)
"""A file that is not whole after so long is not being written any more."""
GONE: dict[str, Any] = {"input": {}, "output": None, "metadata": {}, "callback_url": ""}
"""What a purged task has instead of its payload. The code of its error stays, its words go."""


def prune(now: datetime, *, most: int = MOST_BATCHES, batch: int = BATCH) -> dict[str, int]:
    """
    Delete up to so many batches of each kind and return how many rows of each: `payloads`, `dead_letters`, `minutes`,
    `outcomes` (of bulk jobs), `alerts`, `files` and `requests` (of batches).

    Whatever somebody else has locked is left to the next run. Killed at any point it has deleted whole batches.
    """
    kinds: dict[str, Callable[[datetime, int], int]] = {
        "payloads": _purge_payloads,
        "dead_letters": _delete_letters,
        "minutes": _delete_minutes,
        "outcomes": _delete_outcomes,
        "alerts": _delete_alerts,
        "files": _delete_files,
        "requests": _delete_requests,
    }
    counts = dict.fromkeys(kinds, 0)
    for name, delete in kinds.items():
        for _ in range(most):
            counts[name] += (deleted := delete(now, batch))
            if deleted < batch:
                break
    return counts


def due(now: datetime) -> dict[str, int]:
    """Return how many rows of each kind `prune` would delete, if it ran to its end."""
    return {
        "payloads": old_payloads(now).count(),
        "dead_letters": _old_letters(now).count(),
        "minutes": _old_minutes(now).count(),
        "outcomes": _old_outcomes(now).count(),
        "alerts": _old_alerts(now).count(),
        "files": _old_files(now).count(),
        "requests": _old_requests(now).count(),
    }


def old_payloads(now: datetime) -> QuerySet[Any]:
    """Return the tasks whose payload goes: ended long ago; no open dead letter, hook or webhook may yet need it."""
    letters = DeadLetter.objects.open().filter(task_id=OuterRef("pk"))
    hooks = FinishHook.objects.filter(task=OuterRef("pk"))
    old = AIGenerationTask.objects.filter(purged_at=None, finished_at__lt=now - settings.AI_KEEP_PAYLOADS)
    untold = WebhookDelivery.objects.pending().filter(task=OuterRef("pk"), body="")
    return old.filter(~Exists(letters), ~Exists(hooks), ~Exists(untold)).order_by("finished_at")


def _purge_payloads(now: datetime, batch: int) -> int:
    return purge(old_payloads(now), now, batch)


@transaction.atomic
def purge(ended: QuerySet[Any], now: datetime, batch: int) -> int:
    """Empty so many of these ended tasks, but those that somebody has locked, and return how many it were."""
    rows = ended.select_for_update(skip_locked=True, of=("self",), no_key=True)[:batch]
    tasks = {task.pk: task for task in rows.only("pk", "error")}
    for task in tasks.values():
        if task.error:
            task.error["message"] = ""
    AIGenerationTask.objects.bulk_update([task for task in tasks.values() if task.error], ["error"])
    Chunk.objects.filter(task_id__in=tasks).delete()
    ResponseRecord.objects.filter(task_id__in=tasks).delete()
    Attempt.objects.filter(task_id__in=tasks).exclude(error_message="").update(error_message="")
    AIGenerationTask.objects.filter(pk__in=tasks).update(purged_at=now, **GONE)
    return len(tasks)


def _old_letters(now: datetime) -> QuerySet[Any]:
    settled = DeadLetter.objects.exclude(resolution="open")
    return settled.filter(resolved_at__lt=now - settings.AI_KEEP_DEAD_LETTERS).order_by("pk")


def _old_minutes(now: datetime) -> QuerySet[Any]:
    """Hours and days of statistics stay; minutes whose hour has no row yet do, too."""
    old = TaskStat.objects.filter(period=Period.MINUTE, starts_at__lt=now - MINUTES_KEPT).order_by("pk")
    return old.filter(starts_at__lt=rolled_until(TASKS, "hour_until"))


def _delete_letters(now: datetime, batch: int) -> int:
    return _delete(_old_letters(now), batch)


def _delete_minutes(now: datetime, batch: int) -> int:
    return _delete(_old_minutes(now), batch)


@transaction.atomic
def _delete(rows: QuerySet[Any], batch: int) -> int:
    chosen = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True)[:batch])
    rows.model._base_manager.filter(pk__in=chosen).delete()
    return len(chosen)


def _old_outcomes(now: datetime) -> QuerySet[Any]:
    """Return what bulk jobs noted of each object, long after their end; the jobs and the audit stay."""
    return JobOutcome.objects.filter(job__finished_at__lt=now - settings.AI_KEEP_DEAD_LETTERS).order_by("pk")


def _delete_outcomes(now: datetime, batch: int) -> int:
    chosen = list(_old_outcomes(now).values_list("pk", flat=True)[:batch])
    return JobOutcome.objects.filter(pk__in=chosen).delete()[0]


def _old_alerts(now: datetime) -> QuerySet[Any]:
    return Alert.objects.filter(cleared_at__lt=now - settings.AI_KEEP_DEAD_LETTERS).order_by("pk")


def _delete_alerts(now: datetime, batch: int) -> int:
    chosen = list(_old_alerts(now).values_list("pk", flat=True)[:batch])
    return Alert.objects.filter(pk__in=chosen).delete()[0]


def _old_files(now: datetime) -> QuerySet[Any]:
    return StoredFile.objects.gone(now, unfinished_since=now - UPLOAD).order_by("pk")


def _delete_files(now: datetime, batch: int) -> int:
    """Delete files one after the other, their blocks first, some at a time."""
    file_ids = list(_old_files(now).values_list("pk", flat=True)[:batch])
    return sum(_delete_file(file_id, now) for file_id in file_ids)


def _delete_file(file_id: Any, now: datetime) -> int:
    while _delete_blocks(file_id, now):
        pass
    return StoredFile.objects.filter(pk=file_id, blocks=None).delete()[0]


@transaction.atomic
def _delete_blocks(file_id: Any, now: datetime) -> int:
    """The file is locked and looked at again: a batch may have begun with it in between."""
    if not _old_files(now).select_for_update(skip_locked=True, of=("self",)).filter(pk=file_id).exists():
        return 0
    chosen = FileBlock.objects.filter(file=file_id).values_list("pk", flat=True)[:BLOCKS]
    return FileBlock.objects.filter(pk__in=list(chosen)).delete()[0]


def _old_requests(now: datetime) -> QuerySet[Any]:
    """Return the lines of batches that ended long ago; what is counted of them stays with the batch."""
    return BatchLine.objects.filter(batch__finished_at__lt=now - settings.AI_KEEP_PAYLOADS).order_by("pk")


def _delete_requests(now: datetime, batch: int) -> int:
    chosen = list(_old_requests(now).values_list("pk", flat=True)[:batch])
    return BatchLine.objects.filter(pk__in=chosen).delete()[0]
