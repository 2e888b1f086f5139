"""Run `on_finished` of task types: noted in the settling transaction, run after it, at least once."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from ai_tasks import clock
from ai_tasks.models import FinishHook
from ai_tasks.task_types import registry

logger = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=30)
"""How long one runner has before another tries."""
LONGEST_WAIT = timedelta(hours=1)
BATCH = 200


def run_for(task_id: UUID) -> int:
    """Run the hooks of a task that just ended; return how many ran well."""
    now = clock.now()
    return sum(_run(hook, now) for hook in FinishHook.objects.filter(task=task_id).select_related("task"))


def run_due(now: datetime) -> int:
    """Run hooks that nobody ran, oldest first, in a bounded batch; return how many ran well."""
    due = FinishHook.objects.filter(due_at__lte=now - PATIENCE).select_related("task").order_by("due_at")
    return sum(_run(hook, now) for hook in due[:BATCH])


def _run(hook: FinishHook, now: datetime) -> bool:
    on_finished = registry.get(hook.task.type).on_finished
    if on_finished is None:
        hook.delete()
        return False
    wait = min(PATIENCE * 2**hook.tries, LONGEST_WAIT)
    mine = FinishHook.objects.filter(pk=hook.pk, tries=hook.tries)
    if not mine.update(tries=hook.tries + 1, due_at=now + wait):
        return False
    try:
        on_finished(hook.task_id)
    except Exception as error:
        logger.exception("on_finished of task %s failed.", hook.task_id)
        FinishHook.objects.filter(pk=hook.pk).update(last_error=f"{type(error).__name__}: {error}"[:2000])
        return False
    FinishHook.objects.filter(pk=hook.pk).delete()
    return True
