"""
Rolls history up, so that statistics never scan it.

Idempotent: a span's rows are deleted and made anew from the tasks and the ledger in one transaction, an hour of them at
most, which also moves the mark up to which they count. Two beats at once: the second finds the mark locked and goes.
What ended in the last `LAG` is left to the next run, for transactions take their time; each hour is read a second time
when it has been over for `SECOND_LOOK`, and what came later than the first look is taken up.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet, Sum

from ai_tasks.accounts import tallies
from ai_tasks.accounts.coverage import DAY, HOUR, MINUTE, MINUTES_KEPT, TASKS, USAGE, floor
from ai_tasks.accounts.ledger import QUARTER
from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.accounts.rollup_models import Period, RollupState, StaleMinute, TaskStat, UsageStat
from ai_tasks.accounts.tallies import Key, Tally
from ai_tasks.models import AIGenerationTask

LAG = timedelta(seconds=90)
SECOND_LOOK = timedelta(minutes=15)
MOST_STEPS = 48
"""Transactions of each kind in one run."""
MOST_STALE = 5_000


@dataclass(frozen=True)
class _Kind:
    """One kind of rollup."""

    name: str
    rows: Callable[[], QuerySet[Any]]
    """What is rolled up."""
    moment: str
    """Their column that says when."""
    step: timedelta
    """Its shortest span."""
    write: Callable[[datetime, datetime, datetime], None]
    """Make the rows of [begins, end) anew, both multiples of the step, those of whole hours included, at `now`."""
    merge_days: Callable[[datetime, datetime], None]
    """Make the rows of days anew from the shorter ones."""


def roll_up(now: datetime, *, most: int = MOST_STEPS) -> int:
    """Roll up what has ended since the last run, hour by hour, and what has changed; return how many steps it took."""
    steps = 0
    kinds: list[Callable[[datetime], bool]] = [*(partial(_step, kind) for kind in KINDS), _stale_step]
    for step in kinds:
        taken = 0
        while taken < most and step(now):
            taken += 1
        steps += taken
    return steps


def rebuild(since: datetime, until: datetime, now: datetime) -> Iterator[datetime]:
    """
    Make what is rolled up of [since, until) anew, a transaction for each hour, and yield each that is done.

    What is read meanwhile counts everything once; broken off, it may be run again.
    """
    firsts = [first for kind in KINDS if (first := _first(kind, None))]
    hour = floor(max(since, min(firsts, default=since)), HOUR)
    while hour < until:
        with transaction.atomic():
            states = {state.name: state for state in RollupState.objects.select_for_update().order_by("name")}
            if not states or hour >= max(state.until for state in states.values()):
                return
            for kind in KINDS:
                if state := states.get(kind.name):
                    _write_again(kind, state, hour, now)
        yield hour
        hour += HOUR


def _write_again(kind: _Kind, state: RollupState, hour: datetime, now: datetime) -> None:
    """Make the rows of an hour anew, as far as it is rolled up, and those of its day."""
    end = hour + HOUR if hour < state.hour_until else min(hour + HOUR, state.until)
    if hour < end:
        # A clock that was set back must not make an hour that has its row look unfinished.
        kind.write(hour, end, max(now, state.hour_until + SECOND_LOOK))
    if floor(hour, DAY) < state.day_until:
        kind.merge_days(floor(hour, DAY), floor(hour, DAY) + DAY)


def _locked(kind: _Kind) -> RollupState | None:
    """Return the locked mark, made at the first thing to roll up; None: somebody else holds it, or there is nothing."""
    marks = RollupState.objects.filter(name=kind.name)
    if not marks.exists():
        if (first := _first(kind, None)) is None:
            return None
        begins = floor(first, HOUR)
        state = RollupState(name=kind.name, until=begins, hour_until=begins, day_until=floor(begins, DAY))
        RollupState.objects.bulk_create([state], ignore_conflicts=True)
    return marks.select_for_update(skip_locked=True).first()


def _first(kind: _Kind, since: datetime | None) -> datetime | None:
    rows = kind.rows().filter(**{f"{kind.moment}__gte": since} if since else {})
    found: datetime | None = rows.order_by().aggregate(first=Min(kind.moment))["first"]
    return found


@transaction.atomic
def _step(kind: _Kind, now: datetime) -> bool:
    """Roll up an hour that is over for good, else what the newest hours have; False: there was nothing."""
    if (state := _locked(kind)) is None:
        return False
    over, end = floor(now - SECOND_LOOK, HOUR), floor(now - LAG, kind.step)
    if state.hour_until < over:
        _finish_hour(kind, state, over, now)
    elif state.until < end:
        kind.write(state.until, end, now)
        RollupState.objects.filter(pk=state.pk).update(until=end)
    else:
        return False
    return True


def _finish_hour(kind: _Kind, state: RollupState, over: datetime, now: datetime) -> None:
    """Make the rows of the next hour that has anything, and of the days that are over with it; move the marks."""
    first = _first(kind, state.hour_until)
    hour = min(over, max(state.hour_until, floor(first, HOUR))) if first else over
    if hour < over:
        kind.write(hour, hour + HOUR, now)
    hour_until = min(over, hour + HOUR)
    day_until = floor(hour_until, DAY)
    if state.day_until < day_until:
        kind.merge_days(state.day_until, day_until)
    until = max(state.until, hour_until)
    RollupState.objects.filter(pk=state.pk).update(until=until, hour_until=hour_until, day_until=day_until)


@transaction.atomic
def _stale_step(now: datetime) -> bool:
    """Make the rows anew of an hour of which tasks have changed after their end; False: there is none."""
    state = RollupState.objects.select_for_update(skip_locked=True).filter(name=TASKS).first()
    mark = StaleMinute.objects.order_by("starts_at").first()
    if state is None or mark is None:
        return False
    hour = floor(mark.starts_at, HOUR)
    # Read before the tasks: a mark that comes in between stays, and has the hour read again.
    marks = StaleMinute.objects.filter(starts_at__gte=hour, starts_at__lt=hour + HOUR).values_list("pk", flat=True)
    seen = list(marks[:MOST_STALE])
    _write_again(KINDS[0], state, hour, now)
    StaleMinute.objects.filter(pk__in=seen).delete()
    return True


Tallies = dict[tuple[datetime, Key], Tally]


def _write_tasks(begins: datetime, end: datetime, now: datetime) -> None:
    """Minutes as long as they are kept; the row of an hour where it is whole."""
    minutes: Tallies = defaultdict(Tally)
    tasks = AIGenerationTask.objects.alive().filter(finished_at__gte=begins, finished_at__lt=end)
    for ended, key, tally in tallies.read(tasks):
        minutes[floor(ended, MINUTE), key].add(tally)
    if begins >= now - MINUTES_KEPT:
        _replace(Period.MINUTE, begins, end, minutes)
    if end - begins == HOUR and end <= floor(now - SECOND_LOOK, HOUR):
        _replace(Period.HOUR, begins, end, _by(HOUR, minutes))


def _by(step: timedelta, parts: Tallies) -> Tallies:
    sums: Tallies = defaultdict(Tally)
    for (starts_at, key), tally in parts.items():
        sums[floor(starts_at, step), key].add(tally)
    return sums


def _merge_days_of_tasks(begins: datetime, end: datetime) -> None:
    """Make the rows of days anew from those of their hours."""
    sums: Tallies = defaultdict(Tally)
    for stat in TaskStat.objects.filter(period=Period.HOUR, starts_at__gte=begins, starts_at__lt=end).iterator():
        sums[floor(stat.starts_at, DAY), (stat.provider, stat.task_type, stat.status)].add(stat)
    _replace(Period.DAY, begins, end, sums)


def _replace(period: Period, begins: datetime, end: datetime, sums: Tallies) -> None:
    TaskStat.objects.filter(period=period, starts_at__gte=begins, starts_at__lt=end).delete()
    rows: list[Any] = []
    for (starts_at, (provider, task_type, status)), tally in sums.items():
        key = {"provider": provider, "task_type": task_type, "status": status}
        rows.append(TaskStat(period=period, starts_at=starts_at, **key, **vars(tally)))
    TaskStat.objects.bulk_create(rows, batch_size=500)


def _write_usage(begins: datetime, end: datetime, now: datetime) -> None:
    UsageStat.objects.filter(period=QUARTERS, starts_at__gte=begins, starts_at__lt=end).delete()
    while begins < end:
        entries = LedgerEntry.objects.filter(created_at__gte=begins, created_at__lt=begins + QUARTER).order_by()
        rows = entries.values(*USAGE_KEY).annotate(**SUMS)
        sums = [{name.removeprefix("sum_"): value for name, value in row.items()} for row in rows]
        UsageStat.objects.bulk_create([UsageStat(starts_at=begins, **row) for row in sums], batch_size=500)
        begins += QUARTER


def _merge_days_of_usage(begins: datetime, end: datetime) -> None:
    """Make the rows of days anew from those of their quarters, a day at a time."""
    day = UsageStat.Period.DAY
    UsageStat.objects.filter(period=day, starts_at__gte=begins, starts_at__lt=end).delete()
    quarters = UsageStat.objects.filter(period=QUARTERS).order_by()
    begins = max(begins, quarters.aggregate(first=Min("starts_at"))["first"] or end)
    begins = floor(begins, DAY)
    while begins < end:
        parts = quarters.filter(starts_at__gte=begins, starts_at__lt=begins + DAY)
        rows = parts.values(*USAGE_KEY).annotate(**{f"sum_{name}": Sum(name) for name in USAGE_SUMS})
        sums = [{name.removeprefix("sum_"): value for name, value in row.items()} for row in rows]
        UsageStat.objects.bulk_create([UsageStat(period=day, starts_at=begins, **row) for row in sums], batch_size=500)
        begins += DAY


QUARTERS = UsageStat.Period.QUARTER
USAGE_KEY = ("provider", "model", "owner_id", "task_type")
ADDED = ("unpriced", "input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "amount_usd")
SUMS = {
    "sum_calls": Count("id", filter=Q(kind="charge")),
    "sum_estimated": Count("id", filter=Q(kind="charge", usage_source="estimated")),
    "sum_cache_write_tokens": Sum("cache_write_tokens", default=0) + Sum("cache_write_1h_tokens", default=0),
    **{f"sum_{name}": Sum(name, default=0) for name in ADDED},
}
"""Under names that no column has."""
USAGE_SUMS = ("calls", "estimated", "cache_write_tokens", *ADDED)


KINDS = (
    _Kind(
        TASKS,
        lambda: AIGenerationTask.objects.filter(finished_at__isnull=False),
        "finished_at",
        MINUTE,
        _write_tasks,
        _merge_days_of_tasks,
    ),
    _Kind(USAGE, LedgerEntry.objects.all, "created_at", QUARTER, _write_usage, _merge_days_of_usage),
)
