"""What one row of TaskStat says: how many tasks ended, and how long they took. Tallies add up exactly."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery

from ai_tasks.accounts import histograms
from ai_tasks.accounts.models import Attempt
from ai_tasks.accounts.rollup_models import TaskStat

ZERO = timedelta(0)
Key = tuple[str, str, str]
"""Provider, task type, status."""


@dataclass
class Tally:
    """Tasks that ended. The histograms are those of ai_tasks.accounts.histograms."""

    count: int = 0
    wait_time: timedelta = ZERO
    run_time: timedelta = ZERO
    """Both summed over those that started."""
    waits: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    first_tokens: dict[str, int] = field(default_factory=dict)

    def add_task(self, waited: timedelta | None, ran: timedelta | None, first_token: timedelta | None) -> None:
        """Count one task; None: it never started, or never spoke."""
        self.count += 1
        if waited is not None and ran is not None:
            self.wait_time += waited
            self.run_time += ran
            histograms.count(self.waits, waited)
            histograms.count(self.runs, ran)
        if first_token is not None:
            histograms.count(self.first_tokens, first_token)

    def add(self, other: "Tally | TaskStat") -> None:
        """Count what another tally or a stored row says."""
        self.count += other.count
        self.wait_time += other.wait_time
        self.run_time += other.run_time
        for name in ("waits", "runs", "first_tokens"):
            histograms.add(getattr(self, name), getattr(other, name))


def read(tasks: QuerySet[Any]) -> Iterator[tuple[datetime, Key, Tally]]:
    """Return (end, key, tally of one) of each of these tasks, in no order and without holding them all."""
    told = Attempt.objects.filter(task=OuterRef("pk"), epoch=OuterRef("epoch")).order_by()
    first_token = Subquery(told.values_list(F("first_token_at") - F("started_at"))[:1])
    columns = ("provider", "type", "status", "finished_at", "started_at", "created_at", "run_at")
    rows = tasks.order_by().annotate(first_token=first_token).values_list(*columns, "first_token")
    for provider, task_type, status, finished, started, created, run_at, spoke in rows.iterator():
        tally = Tally()
        waited, ran = (started - max(created, run_at or created), finished - started) if started else (None, None)
        tally.add_task(waited, ran, spoke)
        yield finished, (provider, task_type, status), tally
