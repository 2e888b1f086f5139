"""What operators see of how the system did: ends, waits, runs and first tokens, by provider, task type or time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from ai_tasks.accounts import coverage, histograms, tallies
from ai_tasks.accounts.coverage import DAY
from ai_tasks.accounts.histograms import Histogram
from ai_tasks.accounts.rollup_models import RollupState, TaskStat
from ai_tasks.accounts.tallies import Key, Tally
from ai_tasks.models import AIGenerationTask
from ai_tasks.states import TaskStatus


@dataclass(frozen=True, slots=True)
class Times:
    """Percentiles, within an eighth (ai_tasks.accounts.histograms); None: there were none."""

    p50: timedelta | None
    p95: timedelta | None
    p99: timedelta | None


@dataclass(frozen=True, slots=True)
class Performance:
    """How tasks that ended did."""

    completed: int
    failed: int
    timed_out: int
    cancelled: int
    waits: Times
    """From creation, or `run_at`, to the first start."""
    runs: Times
    """From first start to end."""
    first_tokens: Times
    """From the last attempt's start to its first token, where it streamed."""

    @property
    def ended(self) -> int:
        """All of them."""
        return self.completed + self.failed + self.timed_out + self.cancelled

    @property
    def failure_share(self) -> float:
        """How many of those that were not cancelled failed or timed out, from 0 to 1."""
        tried = self.ended - self.cancelled
        return (self.failed + self.timed_out) / tried if tried else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """All of a time, and the same by one or the other."""

    total: Performance
    by_provider: dict[str, Performance]
    by_type: dict[str, Performance]
    over_time: dict[datetime, Performance]
    """By the beginning of each step, steps in which nothing ended included."""


Name = TypeVar("Name", str, datetime)
Parts = dict[str, Tally]
"""A tally for each status."""


def report(
    since: datetime, until: datetime, *, step: timedelta = DAY, provider: str = "", task_type: str = ""
) -> Report:
    """
    Return how the tasks did that ended in [since, until), cut as the statistics verbs do.

    `step` is MINUTE (for the last week), HOUR or DAY. Three queries: rollups, and what is not rolled up yet.
    """
    by_provider, by_type = defaultdict[str, Parts](_parts), defaultdict[str, Parts](_parts)
    total, times = _parts(), {moment: _parts() for moment in _moments(since, until, step)}
    for moment, (of_provider, of_type, status), tally in _read(since, until, step):
        if provider not in ("", of_provider) or task_type not in ("", of_type):
            continue
        for place in (total, by_provider[of_provider], by_type[of_type], times[coverage.floor(moment, step)]):
            place[status].add(tally)
    return Report(_performance(total), _told(by_provider), _told(by_type), _told(times))


def _told(groups: Mapping[Name, Parts]) -> dict[Name, Performance]:
    return {name: _performance(groups[name]) for name in sorted(groups)}


def _parts() -> Parts:
    return {status: Tally() for status in TaskStatus.values}


def _moments(since: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    begins, ends = coverage.span(since, until)
    moment = coverage.floor(begins, step)
    while moment < ends:
        yield moment
        moment += step


def _read(since: datetime, until: datetime, longest: timedelta) -> Iterator[tuple[datetime, Key, "Tally | TaskStat"]]:
    """Read each task once, although there are several statements: all of them are cut at one mark, read first."""
    begins, ends = coverage.span(since, until)
    mark = RollupState.objects.filter(name=coverage.TASKS).values_list("until", flat=True).first() or coverage.BEGINNING
    for stat in TaskStat.objects.filter(coverage.stats(begins, min(ends, mark), longest)).iterator():
        yield stat.starts_at, (stat.provider, stat.task_type, stat.status), stat
    yield from tallies.read(
        AIGenerationTask.objects.alive().filter(finished_at__gte=max(begins, mark), finished_at__lt=ends)
    )


def _performance(parts: Parts) -> Performance:
    everything = Tally()
    for tally in parts.values():
        everything.add(tally)
    return Performance(
        completed=parts[TaskStatus.COMPLETED].count,
        failed=parts[TaskStatus.FAILED].count,
        timed_out=parts[TaskStatus.TIMED_OUT].count,
        cancelled=parts[TaskStatus.CANCELLED].count,
        waits=_times(everything.waits),
        runs=_times(everything.runs),
        first_tokens=_times(everything.first_tokens),
    )


def _times(histogram: Histogram) -> Times:
    return Times(*(histograms.percentile(histogram, share) for share in (0.5, 0.95, 0.99)))
