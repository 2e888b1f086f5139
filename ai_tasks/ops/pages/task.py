"""One task: where it is, why it waits, how its time went, what its attempts did and cost; payloads for who may."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks import clock, waiting
from ai_tasks.accounts.managers import BUCKETS, OUTPUT
from ai_tasks.accounts.models import Attempt, AttemptState
from ai_tasks.models import AIGenerationTask
from ai_tasks.ops.pages import charts
from ai_tasks.ops.pages.desk import Page
from ai_tasks.states import REVIVABLE, TaskStatus
from ai_tasks.waiting import Waiting
from queueing.models import DeadLetter, QueueEntry
from queueing.states import ParkedReason

MAY_READ = "ai_tasks.view_payloads"
ATTEMPTS_SHOWN = 100
LONGEST_PAYLOAD = 100_000
"""Characters of a payload that are shown."""
REASONS = {
    **{str(value): label for value, label in ParkedReason.choices},
    "paused": gettext_lazy("its provider is paused"),
    "circuit_open": gettext_lazy("the circuit is open"),
    "provider_retry_after": gettext_lazy("the provider asked us to wait"),
    "no_worker": gettext_lazy("no worker takes this queue"),
    "handing_over": gettext_lazy("enough is on its way to the workers"),
    "concurrency": gettext_lazy("all slots are in use"),
    "lane_share": gettext_lazy("the long lane's share is in use"),
    "requests_per_minute": gettext_lazy("the requests of this minute are used up"),
    "tokens_per_minute": gettext_lazy("the tokens of this minute are used up"),
    waiting.STARTING: gettext_lazy("it was handed over and is about to start"),
    waiting.IN_TURN: gettext_lazy("others come first"),
}


class TaskPage(Page):
    """`/admin/ops/tasks/{id}/`"""

    needs = "ai_tasks.view_aigenerationtask"
    template = "task.html"

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the task with its attempts."""
        task, now = _find(kwargs["task_id"]), clock.now()
        attempts = list(task.attempts.order_by("epoch").prefetch_related("ledger")[:ATTEMPTS_SHOWN])
        why = waiting.explain([task], now).get(task.pk)
        may_read = request.user.has_perm(MAY_READ)
        is_live = task.status in (TaskStatus.PENDING, TaskStatus.PROCESSING)
        return {
            "title": _("Task …%(id)s") % {"id": str(task.pk)[-12:]},
            "now": now,
            "live_seconds": 5 if is_live else 0,
            "task": task,
            "is_live": is_live,
            "is_dead": task.status in REVIVABLE,
            "entry": QueueEntry.objects.for_task(task.pk).first() if is_live else None,
            "why": _told(why),
            "attempts": [Tried.of(attempt) for attempt in attempts],
            "timeline": charts.timeline(_("How its time went"), segments(task, attempts, now)),
            "ends": task.finished_at or now,
            "letters": list(DeadLetter.objects.filter(task_id=task.pk).order_by("-id")[:10]),
            "may_read": may_read,
            "payloads": _payloads(task) if may_read else [],
        }


def _find(task_id: UUID) -> AIGenerationTask:
    task = AIGenerationTask.objects.select_related("owner").filter(pk=task_id).first()
    if task is None:
        raise Http404
    return task


class Told(NamedTuple):
    """Why it waits, for people."""

    reason: Any
    why: Waiting


def _told(why: Waiting | None) -> Told | None:
    return None if why is None else Told(REASONS.get(why.reason, why.reason), why)


class Tried(NamedTuple):
    """An attempt as it is shown."""

    attempt: Attempt
    tokens_in: int | None
    tokens_out: int | None
    cost_usd: Decimal | None
    is_estimated: bool

    @classmethod
    def of(cls, attempt: Attempt) -> "Tried":
        """Return the attempt with its sums."""
        values = [getattr(attempt, name) for name in BUCKETS]
        is_known = any(value is not None for value in values)
        into, out = (sum(value or 0 for value in part) for part in (values[:-OUTPUT], values[-OUTPUT:]))
        entries = list(attempt.ledger.all())
        amounts = [entry.amount_usd for entry in entries if entry.amount_usd is not None]
        cost = sum(amounts, Decimal(0)) if amounts else None
        return cls(
            attempt,
            into if is_known else None,
            out if is_known else None,
            cost,
            any(entry.usage_source == "estimated" for entry in entries),
        )


def segments(task: AIGenerationTask, attempts: Sequence[Attempt], now: datetime) -> list[charts.Segment]:
    """Return how the task's time went, from its creation to its end or now: waiting, handed over, running."""
    found: list[charts.Segment] = []
    since = task.created_at
    for attempt in attempts:
        started = attempt.started_at or attempt.finished_at or now
        ended = attempt.finished_at or now
        found.append(charts.Segment("waits", since, attempt.admitted_at, _("waited")))
        found.append(charts.Segment("handed", attempt.admitted_at, started, _("handed over")))
        if attempt.started_at:
            kind = "failed" if attempt.state in (AttemptState.FAILED, AttemptState.LOST) else "ran"
            first = attempt.first_token_at
            if first:
                found.append(charts.Segment("thinks", started, first, _("until the first token")))
            found.append(charts.Segment(kind, first or started, ended, f"{attempt.provider}/{attempt.model}"))
        since = ended
    end = task.finished_at or now
    found.append(charts.Segment("waits", since, end, _("waited")))
    return [each for each in found if each.until > each.since]


def _payloads(task: AIGenerationTask) -> list[tuple[str, Any, str]]:
    """Return (id, name, text) of what it was asked and answered, each cut to a bearable length."""
    if task.purged_at:
        return []
    named = (
        ("input", _("Input"), task.input),
        ("output", _("Output"), task.output),
        ("metadata", _("Metadata"), task.metadata),
    )
    return [(key, name, _pretty(value)) for key, name, value in named if value]


def _pretty(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= LONGEST_PAYLOAD else text[:LONGEST_PAYLOAD] + "…"
