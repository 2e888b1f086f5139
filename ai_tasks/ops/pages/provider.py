"""One provider: its gates, what is used of its limits, its circuits' history, what runs there and what failed."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.http import Http404, HttpRequest

from ai_tasks import clock, performance
from ai_tasks.accounts.coverage import HOUR, MINUTE, ceiling
from ai_tasks.accounts.models import Attempt, AttemptState
from ai_tasks.ops.pages import fleet
from ai_tasks.ops.pages.desk import Page
from providers import control, standing
from queueing.models import QueueEntry

TRANSITIONS_SHOWN = 20
RUNNING_SHOWN = 20
LOOKED_AT = 300
"""Among so many of the last calls are the failures that are shown."""
FAILURES_SHOWN = 20
FAILURES = (AttemptState.FAILED, AttemptState.LOST)


class ProviderPage(Page):
    """`/admin/ops/providers/{provider}/`"""

    needs = "queueing.view_taskqueue"
    template = "provider.html"
    live_seconds = 5

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the provider's state."""
        slug, now = kwargs["provider"], clock.now()
        stand = next(iter(fleet.read(now, [slug])), None)
        if stand is None:
            raise Http404
        hour = performance.report(now - HOUR, ceiling(now, MINUTE), step=MINUTE, provider=slug)
        ends = _ends(slug)
        return {
            "title": slug,
            "now": now,
            "stand": stand,
            "did": hour.total,
            "models": [(model, stand.meters(model)) for model in sorted({*stand.limits, *stand.circuits} - {""})],
            "rule": control.rule(slug),
            "transitions": standing.transitions(slug, TRANSITIONS_SHOWN),
            "routes": standing.routes_by(slug),
            "running": _running(slug),
            "failures": [end for end in ends if end.state in FAILURES][:FAILURES_SHOWN],
            "asked": _models(ends),
            "looked_at": len(ends),
            "failed": sum(end.state in FAILURES for end in ends),
        }


def _ends(slug: str) -> list[Attempt]:
    """Return the provider's last calls, the newest first."""
    ended = Attempt.objects.filter(provider=slug, finished_at__isnull=False).order_by("-finished_at")
    return list(ended.exclude(state=AttemptState.RELEASED)[:LOOKED_AT])


class Asked(NamedTuple):
    """A model, as its last calls went."""

    model: str
    calls: int
    failed: int
    median: timedelta | None
    """How long a call ran."""


def _models(ends: list[Attempt]) -> list[Asked]:
    """Return the models of these calls, those that were asked most first."""
    found = []
    for model in {end.model for end in ends}:
        calls = [end for end in ends if end.model == model]
        took = [end.finished_at - end.started_at for end in calls if end.finished_at and end.started_at]
        failed = sum(end.state in FAILURES for end in calls)
        found.append(Asked(model, len(calls), failed, sorted(took)[len(took) // 2] if took else None))
    return sorted(found, key=lambda each: (-each.calls, each.model))


def _running(slug: str) -> list[tuple[QueueEntry, datetime | None]]:
    """Return what runs there with the start of its call, those whose lease ends first."""
    entries = list(QueueEntry.objects.of(slug).running().order_by("leased_until")[:RUNNING_SHOWN])
    attempts = Attempt.objects.filter(task_id__in=[entry.task_id for entry in entries], state=AttemptState.STARTED)
    begun = dict(attempts.values_list("task_id", "started_at"))
    return [(entry, begun.get(entry.task_id)) for entry in entries]
