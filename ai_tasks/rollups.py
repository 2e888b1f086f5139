"""
Rolls history up, so that statistics never scan it.

Idempotent: a span's rows are deleted and made anew from the tasks and the ledger in one transaction, which also moves
the mark up to which they count. Two beats at once: the second finds the mark locked and goes. What ended in the last
`LAG` is left to the next run: a transaction that took its time may still add to it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, Q, Sum

from ai_tasks.accounts import histograms
from ai_tasks.accounts.coverage import DAY, HOUR, MINUTE, TASKS, USAGE, floor
from ai_tasks.accounts.ledger import QUARTER
from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.accounts.rollup_models import Period, RollupState, StaleMinute, TaskStat, UsageStat
from ai_tasks.models import AIGenerationTask

LAG = timedelta(seconds=90)
MOST_SPANS = 48
"""Hours of work that one run does of each kind."""
MOST_STALE = 5_000
ZERO = timedelta(0)
Key = tuple[str, str, str]


def roll_up(now: datetime, *, most: int = MOST_SPANS) -> int:
    """Roll up what has ended since the last run, hour by hour, and what has changed; return how many steps it took."""
    steps = 0
    for step in (_task_step, _usage_step, _stale_step):
        taken = 0
        while taken < most and step(now):
            taken += 1
        steps += taken
    return steps


def rebuild(since: datetime) -> None:
    """Let everything from that time's day on be rolled up anew; until then it is read from the rows."""
    day = floor(since, DAY)
    with transaction.atomic():
        list(RollupState.objects.select_for_update())
        TaskStat.objects.filter(starts_at__gte=day).delete()
        UsageStat.objects.filter(starts_at__gte=day).delete()
        RollupState.objects.filter(until__gt=day).update(until=day, hour_until=day, day_until=day)


def _state(name: str, first: datetime | None, step: timedelta) -> RollupState | None:
    """Return the locked mark, made at the first thing to roll up; None: somebody else holds it, or there is nothing."""
    if not RollupState.objects.filter(name=name).exists():
        if first is None:
            return None
        begins = floor(first, step)
        marks = {"hour_until": floor(begins, HOUR), "day_until": floor(begins, DAY)}
        RollupState.objects.bulk_create([RollupState(name=name, until=begins, **marks)], ignore_conflicts=True)
    return RollupState.objects.select_for_update(skip_locked=True).filter(name=name).first()


@transaction.atomic
def _task_step(now: datetime) -> bool:
    ended = AIGenerationTask.objects.filter(finished_at__isnull=False).order_by()
    state = _state(TASKS, ended.aggregate(first=Min("finished_at"))["first"], MINUTE)
    end = floor(now - LAG, MINUTE)
    if state is None or state.until >= end:
        return False
    first = ended.filter(finished_at__gte=state.until).aggregate(first=Min("finished_at"))["first"]
    begins = min(end, max(state.until, floor(first, MINUTE))) if first else end
    end = min(end, floor(begins, HOUR) + HOUR)
    _write_tasks(Period.MINUTE, begins, end, MINUTE)
    _close(state, end)
    return True


def _close(state: RollupState, end: datetime) -> None:
    """Make rows of the hours and days that are over now, and move the mark."""
    hour_until, day_until = floor(end, HOUR), floor(end, DAY)
    _merge(Period.MINUTE, Period.HOUR, HOUR, state.hour_until, hour_until)
    _merge(Period.HOUR, Period.DAY, DAY, state.day_until, day_until)
    RollupState.objects.filter(pk=state.pk).update(until=end, hour_until=hour_until, day_until=day_until)


@transaction.atomic
def _usage_step(now: datetime) -> bool:
    state = _state(USAGE, LedgerEntry.objects.order_by().aggregate(first=Min("created_at"))["first"], QUARTER)
    end = floor(now - LAG, QUARTER)
    if state is None or state.until >= end:
        return False
    rest = LedgerEntry.objects.filter(created_at__gte=state.until).order_by()
    first = rest.aggregate(first=Min("created_at"))["first"]
    begins = min(end, max(state.until, floor(first, QUARTER))) if first else end
    end = min(end, begins + QUARTER)
    if begins < end:
        _write_usage(begins, end)
    RollupState.objects.filter(pk=state.pk).update(until=end, hour_until=floor(end, HOUR), day_until=floor(end, DAY))
    return True


def _write_usage(begins: datetime, end: datetime) -> None:
    UsageStat.objects.filter(starts_at__gte=begins, starts_at__lt=end).delete()
    entries = LedgerEntry.objects.filter(created_at__gte=begins, created_at__lt=end).order_by()
    rows = entries.values("provider", "model", "owner_id", "task_type").annotate(**SUMS)
    sums = [{name.removeprefix("sum_"): value for name, value in row.items()} for row in rows]
    UsageStat.objects.bulk_create([UsageStat(starts_at=begins, **row) for row in sums])


ADDED = ("unpriced", "input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "amount_usd")
SUMS = {
    "sum_calls": Count("id", filter=Q(kind="charge")),
    "sum_estimated": Count("id", filter=Q(kind="charge", usage_source="estimated")),
    "sum_cache_write_tokens": Sum("cache_write_tokens", default=0) + Sum("cache_write_1h_tokens", default=0),
    **{f"sum_{name}": Sum(name, default=0) for name in ADDED},
}
"""Under names that no column has."""


@dataclass
class _Sum:
    """What one row of TaskStat will say."""

    count: int = 0
    wait_time: timedelta = ZERO
    run_time: timedelta = ZERO
    waits: dict[str, int] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)

    def add_task(self, waited: timedelta | None, ran: timedelta | None) -> None:
        """Count one task; None: it never started."""
        self.count += 1
        if waited is not None and ran is not None:
            self.wait_time += waited
            self.run_time += ran
            histograms.count(self.waits, waited)
            histograms.count(self.runs, ran)

    def add(self, stat: TaskStat) -> None:
        """Count what another row says."""
        self.count += stat.count
        self.wait_time += stat.wait_time
        self.run_time += stat.run_time
        self.waits = histograms.merged((self.waits, stat.waits))
        self.runs = histograms.merged((self.runs, stat.runs))


def _write_tasks(period: Period, begins: datetime, end: datetime, step: timedelta) -> None:
    """Make the rows of a span anew from its tasks."""
    sums: dict[tuple[datetime, Key], _Sum] = defaultdict(_Sum)
    columns = ("provider", "type", "status", "finished_at", "started_at", "created_at", "run_at")
    tasks = AIGenerationTask.objects.alive().filter(finished_at__gte=begins, finished_at__lt=end).order_by()
    for provider, task_type, status, finished, started, created, run_at in tasks.values_list(*columns).iterator():
        waited = started - max(created, run_at or created) if started else None
        ran = finished - started if started else None
        sums[floor(finished, step), (provider, task_type, status)].add_task(waited, ran)
    _replace(period, begins, end, sums)


def _merge(source: Period, period: Period, step: timedelta, begins: datetime, end: datetime) -> None:
    """Make the rows of a span anew from those of shorter periods."""
    if begins >= end:
        return
    sums: dict[tuple[datetime, Key], _Sum] = defaultdict(_Sum)
    for stat in TaskStat.objects.filter(period=source, starts_at__gte=begins, starts_at__lt=end).iterator():
        sums[floor(stat.starts_at, step), (stat.provider, stat.task_type, stat.status)].add(stat)
    _replace(period, begins, end, sums)


def _replace(period: Period, begins: datetime, end: datetime, sums: dict[tuple[datetime, Key], _Sum]) -> None:
    TaskStat.objects.filter(period=period, starts_at__gte=begins, starts_at__lt=end).delete()
    rows: list[Any] = []
    for (starts_at, (provider, task_type, status)), sum_of in sums.items():
        key = {"provider": provider, "task_type": task_type, "status": status}
        rows.append(TaskStat(period=period, starts_at=starts_at, **key, **vars(sum_of)))
    TaskStat.objects.bulk_create(rows, batch_size=500)


@transaction.atomic
def _stale_step(now: datetime) -> bool:
    """Make the rows anew of the minutes whose tasks have changed, with their hours and days."""
    state = RollupState.objects.select_for_update(skip_locked=True).filter(name=TASKS).first()
    marks = list(StaleMinute.objects.order_by("pk")[:MOST_STALE])
    if state is None or not marks:
        return False
    stale = {mark.starts_at for mark in marks if mark.starts_at < state.until}
    for minute in sorted(stale):
        _write_tasks(Period.MINUTE, minute, minute + MINUTE, MINUTE)
    for hour in _over(stale, HOUR, state.hour_until):
        _write_tasks(Period.HOUR, hour, hour + HOUR, HOUR)
    for day in _over(stale, DAY, state.day_until):
        _merge(Period.HOUR, Period.DAY, DAY, day, day + DAY)
    StaleMinute.objects.filter(pk__in=[mark.pk for mark in marks]).delete()
    return len(marks) == MOST_STALE


def _over(minutes: Iterable[datetime], step: timedelta, until: datetime) -> list[datetime]:
    """Return the hours or days, with rows of their own, in which the minutes are."""
    return sorted({start for minute in minutes if (start := floor(minute, step)) < until})
