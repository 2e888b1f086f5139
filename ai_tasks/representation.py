"""What a task looks like outside: one shape for REST, SSE and WebSocket."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import prefetch_related_objects

from ai_tasks import clock, waiting
from ai_tasks.accounts.fields import plain_usd
from ai_tasks.accounts.models import Attempt
from ai_tasks.models import AIGenerationTask
from ai_tasks.waiting import Waiting
from queueing.models import QueueEntry
from queueing.states import Priority

Json = dict[str, Any]


def moment(value: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds."""
    return None if value is None else value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def usd(amount: Decimal | None) -> str | None:
    """Return an amount as a plain decimal string without trailing zeros."""
    return None if amount is None else plain_usd(amount)


def tasks_json(
    tasks: Iterable[AIGenerationTask], *, now: datetime | None = None, known: Iterable[QueueEntry] = ()
) -> list[Json]:
    """Return the tasks' shapes in their order, with a bounded number of queries; `known`: entries just written."""
    rows = list(tasks)
    prefetch_related_objects([row for row in rows if row.epoch], "attempts__ledger")
    why = waiting.explain(rows, now or clock.now(), known=known) if any(row.status == "pending" for row in rows) else {}
    return [_shape(row, why.get(row.pk)) for row in rows]


def task_json(task: AIGenerationTask, *, now: datetime | None = None) -> Json:
    """Return one task's shape."""
    return tasks_json([task], now=now)[0]


def new_task_json(task: AIGenerationTask) -> Json:
    """Return the shape of a task that was just submitted, as it waited then; of any other as `task_json`."""
    return tasks_json([task], known=[task.entry] if task.entry else ())[0]


def _shape(task: AIGenerationTask, why: Waiting | None) -> Json:
    return {
        "id": str(task.pk),
        "object": "task",
        "type": task.type,
        "status": task.status,
        "priority": Priority(task.priority).word,
        "lane": task.lane,
        "prompt_version": task.prompt_version,
        "requested_model": task.requested_model,
        "model": task.model,
        "provider": task.provider,
        "input": task.input,
        "output": task.output,
        "error": task.error,
        "usage": task.usage,
        "cost_usd": usd(task.cost_usd),
        "max_cost_usd": usd(task.max_cost_usd),
        "skipped": task.route_policy.get("skipped", []),
        "attempts": [_attempt(attempt) for attempt in (task.attempts.all() if task.epoch else ())],
        "waiting": _why(why),
        "related": {"type": task.related_type, "id": task.related_id} if task.related_type else None,
        "metadata": task.metadata,
        "callback_url": task.callback_url or None,
        "run_at": moment(task.run_at),
        "deadline_at": moment(task.deadline_at),
        "cancel_requested_at": moment(task.cancel_requested_at),
        "created_at": moment(task.created_at),
        "started_at": moment(task.started_at),
        "finished_at": moment(task.finished_at),
        "purged_at": moment(task.purged_at),
    }


def _attempt(attempt: Attempt) -> Json:
    return {
        "number": attempt.epoch,
        "provider": attempt.provider,
        "model": attempt.model,
        "status": attempt.state,
        "error": {"code": attempt.error_class, "message": attempt.error_message} if attempt.error_class else None,
        "started_at": moment(attempt.started_at),
        "first_token_at": moment(attempt.first_token_at),
        "finished_at": moment(attempt.finished_at),
        "cost_usd": usd(_cost(attempt)),
    }


def _cost(attempt: Attempt) -> Decimal | None:
    """Return what the attempt has cost so far, corrections included; None: nothing is charged yet, or unpriced."""
    amounts = [each.amount_usd for each in attempt.ledger.all() if each.amount_usd is not None]
    return sum(amounts, Decimal(0)) if amounts else None


def _why(why: Waiting | None) -> Json | None:
    if why is None:
        return None
    return {
        "reason": why.reason,
        "until": moment(why.until),
        "position": why.position,
        "expected_start": moment(why.expected_start),
        "budget": asdict(why.budget) if why.budget else None,
    }
