"""Is the machinery well: the database, the broker, what the sweeps leave undone, and the sizes of the hot tables."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from celery import current_app
from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ai_tasks import clock
from ai_tasks.accounts.models import Attempt, AttemptState
from ai_tasks.managers import SILENT_AFTER
from ai_tasks.models import FinishHook, WorkerProcess
from ai_tasks.ops.pages.desk import Page
from ai_tasks.ops.pages.troubles import sweeps
from queueing.models import QueueEntry, Redrive

BROKER_SECONDS = 2.0
SLOW_MS = 100.0
COUNTED = 1_000
LOST_MESSAGE = timedelta(seconds=60)
"""An entry that was handed over so long ago should have begun, or been sent again."""
OLD_SNAPSHOT = timedelta(minutes=10)
TABLES = """
SELECT relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid), GREATEST(last_autovacuum, last_vacuum)
FROM pg_stat_user_tables WHERE relname LIKE ANY (ARRAY['ai_tasks_%%', 'queueing_%%', 'chat_%%', 'providers_%%'])
ORDER BY pg_total_relation_size(relid) DESC LIMIT 12
"""
SNAPSHOT = """
SELECT MAX(clock_timestamp() - xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
"""
WAITS = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Check(NamedTuple):
    """One question, its answer, and whether that is well."""

    name: Any
    answer: Any
    is_well: bool
    is_moment: bool = False
    """Is the answer a moment?"""


class HealthPage(Page):
    """`/admin/ops/health/`"""

    needs = "ai_tasks.view_workerprocess"
    title = _("Health")
    template = "health.html"
    live_seconds = 15

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the answers."""
        is_postgresql = connection.vendor == "postgresql"
        return {
            "now": clock.now(),
            "parts": [
                (_("Services"), [_database(), *(_inside() if is_postgresql else []), _broker()]),
                (_("Processes"), _processes()),
                (_("Left undone"), _undone()),
            ],
            "tables": _rows(TABLES) if is_postgresql else [],
        }


def _rows(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [])
        return list(cursor.fetchall())


def _database() -> Check:
    began = time.perf_counter()
    _rows("SELECT 1")
    took_ms = 1000 * (time.perf_counter() - began)
    return Check(_("database answers in"), f"{connection.vendor}, {took_ms:.1f} ms", took_ms < SLOW_MS)


def _inside() -> list[Check]:
    """Return what PostgreSQL says about itself."""
    age, waits = _rows(SNAPSHOT)[0][0] or timedelta(0), _rows(WAITS)[0][0]
    return [
        Check(_("oldest transaction"), f"{age.total_seconds():.0f} s", age < OLD_SNAPSHOT),
        Check(_("statements that wait for a lock"), waits, waits < 10),
    ]


def _broker() -> Check:
    name = _("broker")
    try:
        with current_app.connection_for_write(connect_timeout=BROKER_SECONDS) as broker:
            broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
            return Check(name, _("%(kind)s, it answers") % {"kind": broker.transport_cls}, True)
    except Exception:  # whatever a transport raises, with addresses and credentials in its text
        return Check(name, _("it does not answer"), False)


def _processes() -> list[Check]:
    now = clock.now()
    live = WorkerProcess.objects.live(now).count()
    silent = WorkerProcess.objects.filter(last_seen_at__lte=now - SILENT_AFTER, stopping_at=None).count()
    return [
        Check(_("workers"), live, live > 0),
        Check(_("silent workers"), silent, silent == 0),
        *(Check(each.name, each.at, each.at is not None and not each.is_late, is_moment=True) for each in sweeps(now)),
    ]


def _undone() -> list[Check]:
    """Return how much there is that sweeps should have dealt with; each count reads COUNTED rows at most."""
    now = clock.now()
    grace = settings.AI_LEASE / 2
    late: list[tuple[Any, Callable[[], Any]]] = [
        (_("lost leases"), lambda: QueueEntry.objects.running().filter(leased_until__lt=now - grace)),
        (
            _("messages on the way for over a minute"),
            lambda: QueueEntry.objects.queued().filter(queued_at__lt=now - LOST_MESSAGE),
        ),
        (_("tasks past their deadline"), lambda: QueueEntry.objects.filter(deadline_at__lt=now - LOST_MESSAGE)),
        (_("finish hooks that are due"), lambda: FinishHook.objects.filter(due_at__lt=now - LOST_MESSAGE)),
        (_("redrives that are due"), lambda: Redrive.objects.due(now - LOST_MESSAGE)),
        (
            _("lost calls without a charge"),
            lambda: Attempt.objects.filter(
                state=AttemptState.LOST, ledger=None, finished_at__lt=now - settings.AI_LOST_CHARGE_GRACE - LOST_MESSAGE
            ),
        ),
    ]
    return [_count(name, rows()) for name, rows in late]


def _count(name: Any, rows: Any) -> Check:
    number = rows.order_by()[: COUNTED + 1].count()
    return Check(name, f"{COUNTED:,}+" if number > COUNTED else number, number == 0)
