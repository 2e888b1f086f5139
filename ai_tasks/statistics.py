"""How many, how long, how much: the statistics verbs of AIGenerationTask.objects, read from rollups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Value

from ai_tasks.accounts import coverage, ledger
from ai_tasks.accounts.fields import from_quanta
from ai_tasks.accounts.rollup_models import TaskStat
from ai_tasks.states import ACTIVE, REVIVABLE, TaskStatus


class StatisticsVerbs:
    """
    Part of the AIGenerationTask repository. Each verb is one query; history is read from rollups.

    With `since` and `until` it counts what ended in that time, and live tasks that were created in it. Both are cut to
    their minute, those more than a week back to their hour. Deleted tasks are left out.
    """

    def _alive(self) -> QuerySet[Any]:
        tasks: Any = self
        rows: QuerySet[Any] = tasks.alive()
        return rows

    def count_by_status(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        provider: str | None = None,
        type_name: str | None = None,
    ) -> dict[str, int]:
        """
        Return how many tasks are in each status, zeros included.

        A task that was tried again after its end leaves its old status with the next rollups, within a minute.
        """
        told, ended, live = self._parts(since, until, _only(provider, type_name))
        parts = told.values_list("status").annotate(number=Sum("count"))
        rest = [rows.values_list("status").annotate(number=Count("id")) for rows in (ended, live)]
        counts: Counter[str] = Counter()
        for status, number in parts.union(*rest, all=True):
            counts[status] += int(number)
        return {status: counts[status] for status in TaskStatus.values}

    def calculate_average_processing_time(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        provider: str | None = None,
        type_name: str | None = None,
    ) -> timedelta | None:
        """Return the mean time from first start to finish of completed tasks; None when there are none."""
        told, ended, _ = self._parts(since, until, _only(provider, type_name))
        parts = told.filter(status=TaskStatus.COMPLETED).values("status").annotate(n=Sum("count"), took=Sum("run_time"))
        rest = (
            ended.filter(status=TaskStatus.COMPLETED)
            .values("status")
            .annotate(n=Count("id"), took=Sum(F("finished_at") - F("started_at")))
        )
        found = list(parts.union(rest, all=True))
        number = sum(int(row["n"]) for row in found)
        return sum((row["took"] for row in found), timedelta(0)) / number if number else None

    def get_provider_statistics(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        provider: str | None = None,
        type_name: str | None = None,
    ) -> dict[str, dict[str, Any]]:
        """
        Return per provider: `completed`, `failed`, `active` and `cost_usd`, the sum of what was charged there.

        Charges are counted by the quarter of an hour: from that of `since` to before that of `until`.
        """
        only = _only(provider, type_name)
        told, ended, live = self._parts(since, until, only)
        completed, failed = Q(status=TaskStatus.COMPLETED), Q(status__in=REVIVABLE)
        nothing = Value(0)
        summed = {name: Sum("count", filter=rows, default=0) for name, rows in (("c", completed), ("f", failed))}
        stats = told.values_list("provider").annotate(**summed, a=nothing, usd=nothing)
        rows = ended.values_list("provider").annotate(
            c=Count("id", filter=completed), f=Count("id", filter=failed), a=nothing, usd=nothing
        )
        active = live.values_list("provider").annotate(c=nothing, f=nothing, a=Count("id"), usd=nothing)
        spent = ledger.spent_by_provider(*coverage.span(since, until), _as_column(only))
        return _by_provider(stats.union(rows, active, *spent, all=True))

    def _parts(
        self, since: datetime | None, until: datetime | None, only: dict[str, str]
    ) -> tuple[QuerySet[Any], QuerySet[Any], QuerySet[Any]]:
        """Return rollups, ended tasks that are in none yet, and live ones."""
        times = coverage.span(since, until)
        created = {"created_at__gte": since} if since else {}
        created |= {"created_at__lt": until} if until else {}
        return (
            TaskStat.objects.filter(coverage.stats(*times), **_as_column(only)).order_by(),
            self._alive().filter(coverage.tail(*times), **only).order_by(),
            self._alive().filter(status__in=ACTIVE, **only, **created).order_by(),
        )


def _only(provider: str | None, type_name: str | None) -> dict[str, str]:
    return {name: value for name, value in (("provider", provider), ("type", type_name)) if value}


def _as_column(only: dict[str, str]) -> dict[str, str]:
    """Rollups and the ledger call a task's type `task_type`."""
    return {"task_type" if name == "type" else name: value for name, value in only.items()}


def _by_provider(rows: Iterable[tuple[str, int, int, int, int]]) -> dict[str, dict[str, Any]]:
    found: dict[str, list[int]] = {}
    for provider, *numbers in rows:
        found[provider] = [had + int(number) for had, number in zip(found.get(provider, [0] * 4), numbers, strict=True)]
    return {
        provider: {"completed": completed, "failed": failed, "active": active, "cost_usd": from_quanta(quanta)}
        for provider, (completed, failed, active, quanta) in found.items()
    }
