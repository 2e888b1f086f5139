"""When a budget's months and days begin and end, by the calendar of its time zone."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MONTH, DAY = "month", "day"


class Span(NamedTuple):
    """One month or day: its name, as 2026-11 or 2026-11-23, and from when until when it lasts, in UTC."""

    key: str
    starts_at: datetime
    ends_at: datetime


def span(interval: str, time_zone: str, now: datetime) -> Span:
    """Return the month or day of that time zone in which `now` falls; it begins at midnight there."""
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    if interval == DAY:
        return Span(f"{today:%Y-%m-%d}", _midnight(today, zone), _midnight(today + timedelta(days=1), zone))
    first = today.replace(day=1)
    return Span(f"{today:%Y-%m}", _midnight(first, zone), _midnight(_next_month(first), zone))


def _next_month(first: date) -> date:
    return date(first.year + 1, 1, 1) if first.month == 12 else date(first.year, first.month + 1, 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the day's first moment: the jump where clocks jump over midnight, the first where it comes twice."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def check_time_zone(name: str) -> None:
    """Raise ValidationError where there is no such IANA time zone (a model field's validator)."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationError(_("%(name)s is no IANA time zone, as Asia/Tokyo is."), params={"name": name}) from error
