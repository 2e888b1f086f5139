"""Which rows together tell everything since a time, each once: days, hours, minutes, and what is not rolled up yet."""

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
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TASKS, USAGE = "tasks", "usage"


def floor(time: datetime, step: timedelta) -> datetime:
    """Return the last multiple of the step, in UTC, that is not after the time."""
    return time - (time - BEGINNING) % step


def ceiling(time: datetime, step: timedelta) -> datetime:
    """Return the first that is not before it."""
    return -(-(time - BEGINNING) // step) * step + BEGINNING


def beginning(since: datetime | None, now: datetime | None = None) -> datetime:
    """Return where a count since that time begins: its minute, or far back its hour; None: at the beginning."""
    if since is None:
        return BEGINNING
    return floor(since, MINUTE if since > (now or clock.now()) - MINUTES_READ else HOUR)


def rolled_until(name: str, column: str = "until") -> Any:
    """Return how far rollups have come, as a subquery: reader and rows are one statement, and fit each other."""
    state = apps.get_model("ai_tasks", "RollupState").objects.filter(name=name)
    return Coalesce(Subquery(state.values(column)[:1]), Value(BEGINNING), output_field=DateTimeField())


def stats_since(begins: datetime) -> Q:
    """Choose the rows of TaskStat that tell what ended from then on and is rolled up; `begins` as `beginning` says."""
    hour, day = ceiling(begins, HOUR), ceiling(begins, DAY)
    minutes = Q(starts_at__lt=hour) | Q(starts_at__gte=rolled_until(TASKS, "hour_until"))
    hours = Q(starts_at__lt=day) | Q(starts_at__gte=rolled_until(TASKS, "day_until"))
    chosen = Q(period="day") | (Q(period="hour") & hours) | (Q(period="minute") & minutes)
    return Q(starts_at__gte=begins) & chosen


def tail_since(begins: datetime) -> Q:
    """Choose the tasks that ended from then on and are not rolled up yet."""
    return Q(finished_at__gte=begins) & Q(finished_at__gte=rolled_until(TASKS))


def mark_stale(finished_at: datetime | None) -> None:
    """Have the rollups of a minute made anew: a task that ended in it has changed. Part of the caller's transaction."""
    if finished_at is not None:
        apps.get_model("ai_tasks", "StaleMinute").objects.create(starts_at=floor(finished_at, MINUTE))
