"""Edit, then redrive: a changed copy of a dead task runs instead of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction

from ai_tasks import clock
from ai_tasks.errors import InvalidInput, Mistake, NotPossible
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest, submit
from ai_tasks.task_types import registry
from queueing.models import TaskQueue
from queueing.states import Priority

EDITABLE = {"input", "model", "priority", "deadline_seconds", "max_cost_usd", "metadata", "callback_url"}
"""Fields of TaskRequest that a copy may have otherwise."""


@transaction.atomic
def redrive_edited(
    task: AIGenerationTask, changes: Mapping[str, Any], *, by: str = "", reason: str = "", now: datetime | None = None
) -> AIGenerationTask:
    """
    Submit a changed copy of a dead task in its owner's name and return it; `redriven_from` names the old one.

    The dead letter is marked redriven and names the copy; the old task stays as it ended. Raises NotPossible without an
    open letter and for types that are not created directly, InvalidInput for what is not of EDITABLE, and what `submit`
    raises; then nothing is written.
    """
    at = now or clock.now()
    old = AIGenerationTask.objects.alive().select_for_update().filter(pk=task.pk).first()
    if old is None:
        raise NotPossible("The task is deleted.")
    if not registry.get(old.type).is_public:
        raise NotPossible(f"A task of the type {old.type} is not edited: what made it makes another.")
    if unknown := sorted(set(changes) - EDITABLE):
        mistakes = tuple(Mistake(f"/{name}", "cannot be changed") for name in unknown)
        raise InvalidInput(f"What can be changed: {', '.join(sorted(EDITABLE))}.", errors=mistakes)
    copy = submit(old.owner, replace(_as_it_was(old), **changes), now=at)
    if not TaskQueue.objects.take_from_dlq([old.pk], by=by, reason=reason, new_task_id=copy.pk, now=at):
        raise NotPossible("The task has no open dead letter.")
    AIGenerationTask.objects.filter(pk=copy.pk).update(redriven_from=old)
    return AIGenerationTask.objects.get(pk=copy.pk)


def _as_it_was(task: AIGenerationTask) -> TaskRequest:
    return TaskRequest(
        type=task.type,
        input=task.input,
        model=task.requested_model,
        priority=Priority(task.priority),
        max_cost_usd=task.max_cost_usd,
        related=(task.related_type, task.related_id) if task.related_type else None,
        metadata=task.metadata,
        callback_url=task.callback_url,
        serial_key=task.serial_key,
        api_key_id=task.api_key_id,
    )
