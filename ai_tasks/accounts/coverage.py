"""Which rows together tell everything of a time, each once: days, hours, minutes, and what is not rolled up yet."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.apps import apps
from django.db.models import DateTimeField, Q, Subquery, Value
from django.db.models.functions import Coalesce

from ai_tasks import clock

MINUTES_KEPT = timedelta(days=8)
"""How long rows of minutes are kept; a time further back counts from its hour."""
MINUTES_READ = timedelta(days=7)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9000, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TASKS, USAGE = "tasks", "usage"


def floor(time: datetime, step: timedelta) -> datetime:
    """Return the last multiple of the step, in UTC, that is not after the time."""
    return time - (time - BEGINNING) % step


def ceiling(time: datetime, step: timedelta) -> datetime:
    """Return the first that is not before it."""
    return -(-(time - BEGINNING) // step) * step + BEGINNING


def edge(time: datetime, now: datetime | None = None) -> datetime:
    """Return where a count from or until that time is cut: its minute, or far back its hour."""
    return floor(time, MINUTE if time > (now or clock.now()) - MINUTES_READ else HOUR)


def span(since: datetime | None, until: datetime | None = None) -> tuple[datetime, datetime]:
    """Return from when until before when is counted, cut as `edge` says; None: from the beginning, to the end."""
    now = clock.now()
    return BEGINNING if since is None else edge(since, now), END if until is None else edge(until, now)


def rolled_until(name: str, column: str = "until") -> Any:
    """Return how far rollups have come, as a subquery: reader and rows are one statement, and fit each other."""
    state = apps.get_model("ai_tasks", "RollupState").objects.filter(name=name)
    return Coalesce(Subquery(state.values(column)[:1]), Value(BEGINNING), output_field=DateTimeField())


def stats(begins: datetime, ends: datetime, longest: timedelta = DAY) -> Q:
    """
    Choose the rows of TaskStat that together tell what ended in the span and is rolled up; cut as `span` does.

    `longest` is how long the time of one row may be: DAY, HOUR or MINUTE.
    """
    chosen, beside = Q(), Q()
    for period, step in (("day", DAY), ("hour", HOUR)):
        if step <= longest:
            last = floor(ends, step)
            chosen |= Q(period=period, starts_at__lt=last) & beside
            over = rolled_until(TASKS, f"{period}_until")
            beside = Q(starts_at__lt=ceiling(begins, step)) | Q(starts_at__gte=last) | Q(starts_at__gte=over)
    return Q(starts_at__gte=begins, starts_at__lt=ends) & (chosen | (Q(period="minute") & beside))


def tail(begins: datetime, ends: datetime) -> Q:
    """Choose the tasks that ended in the span and are not rolled up yet."""
    return Q(finished_at__gte=begins, finished_at__lt=ends) & Q(finished_at__gte=rolled_until(TASKS))


def mark_stale(finished_at: datetime | None) -> None:
    """Have the rollups of a minute made anew: a task that ended in it has changed. Part of the caller's transaction."""
    if finished_at is not None:
        apps.get_model("ai_tasks", "StaleMinute").objects.create(starts_at=floor(finished_at, MINUTE))
