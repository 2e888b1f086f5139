"""Who works: the processes, the leases they hold, those about to end first, and when the sweeps last ran."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ai_tasks import clock
from ai_tasks.accounts.models import Attempt, AttemptState
from ai_tasks.managers import SILENT_AFTER
from ai_tasks.models import WorkerProcess
from ai_tasks.ops.pages.desk import Page
from ai_tasks.ops.pages.troubles import sweeps
from queueing.models import QueueEntry

WORKERS_SHOWN = 200
LEASES_SHOWN = 50
SOON = timedelta(seconds=30)
"""A lease that ends so soon has missed renewals: they come six times in its length."""


class Worker(NamedTuple):
    """A process as it is shown."""

    process: WorkerProcess
    running: int
    """Tasks that it leases."""
    state: str
    """`silent`, `stopping` or `working`."""


class WorkersPage(Page):
    """`/admin/ops/workers/`; `?leases=lost` or `late` shows those alone."""

    needs = "ai_tasks.view_workerprocess"
    title = _("Workers and leases")
    template = "workers.html"
    live_seconds = 5

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the processes and their leases."""
        now = clock.now()
        chosen = request.GET.get("leases", "")
        until = {"lost": now, "late": now + SOON}.get(chosen)
        leases = QueueEntry.objects.running().order_by("leased_until")
        leases = leases.filter(leased_until__lt=until) if until else leases
        found = list(leases[: LEASES_SHOWN + 1])
        workers = _workers(now)
        return {
            "now": now,
            "workers": workers,
            "threads": sum(each.process.threads for each in workers if each.state == "working"),
            "leases": _with_starts(found[:LEASES_SHOWN], {each.process.boot_id: each for each in workers}),
            "is_more": len(found) > LEASES_SHOWN,
            "chosen": chosen if until else "",
            "query": {"leases": chosen if until else ""},
            "choices": [("", _("all")), ("late", _("not renewed lately")), ("lost", _("lost"))],
            "sweeps": sweeps(now),
        }


def _workers(now: datetime) -> list[Worker]:
    busy = dict(QueueEntry.objects.running().order_by().values_list("worker").annotate(count=Count("id")))
    found = []
    for process in WorkerProcess.objects.order_by("-last_seen_at")[:WORKERS_SHOWN]:
        is_silent = process.last_seen_at < now - SILENT_AFTER
        state = "silent" if is_silent else "stopping" if process.stopping_at else "working"
        found.append(Worker(process, busy.get(process.boot_id, 0), state))
    return found


class Leased(NamedTuple):
    """A running entry, who runs it, and since when its provider is being called."""

    entry: QueueEntry
    worker: Worker | None
    begun: datetime | None
    is_lost: bool
    is_late: bool


def _with_starts(entries: list[QueueEntry], workers: dict[Any, Worker]) -> list[Leased]:
    now = clock.now()
    attempts = Attempt.objects.filter(task_id__in=[entry.task_id for entry in entries], state=AttemptState.STARTED)
    begun = dict(attempts.values_list("task_id", "started_at"))
    return [
        Leased(
            entry,
            workers.get(entry.worker),
            begun.get(entry.task_id),
            is_lost=entry.leased_until is not None and entry.leased_until < now,
            is_late=entry.leased_until is not None and now <= entry.leased_until < now + SOON,
        )
        for entry in entries
    ]
