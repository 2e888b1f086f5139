"""How a month's money goes: what is spent so far, a straight line on from there, and the limit if there is one."""

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks.ops.pages import charts
from ai_tasks.ops.pages.charts import Chart, Series, Step

SERIES = (
    Series(gettext_lazy("spent (USD)"), "s1", is_area=True),
    Series(gettext_lazy("forecast"), "s1", is_dashed=True),
    Series(gettext_lazy("limit"), "s2", is_dashed=True),
)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Burndown:
    """A month's spending."""

    first: date
    spent: Decimal
    limit: Decimal | None
    part: float
    """How much of the month is over, from 0 (not begun) to 1 (over)."""
    by_day: Mapping[date, Decimal]

    @property
    def days(self) -> int:
        """How many days the month has."""
        return calendar.monthrange(self.first.year, self.first.month)[1]

    @property
    def forecast(self) -> Decimal | None:
        """What the month will have cost if it goes on so; None: it is over, or has hardly begun."""
        return self.spent / Decimal(self.part) if 0.01 < self.part < 1 else None

    @property
    def limit_share(self) -> float | None:
        """How much of the limit is spent; None without one."""
        return None if self.limit is None else float(self.spent / self.limit) if self.limit else 1.0

    @property
    def reached_on(self) -> date | None:
        """On which day of this month the limit is reached if it goes on so; None: not in this month."""
        if not self.limit or self.forecast is None or self.forecast <= self.limit or not self.spent:
            return None
        day = int(self.limit / self.spent * Decimal(self.part) * self.days) + 1
        return self.first.replace(day=min(day, self.days))

    def chart(self) -> Chart:
        """Return the lines: the sum of each day so far, then the forecast, and the limit."""
        today, total, steps = int(self.part * self.days) + 1, ZERO, []
        for day in range(1, self.days + 1):
            total += self.by_day.get(self.first.replace(day=day), ZERO)
            spent = float(total) if self.part > 0 and day <= today else None
            steps.append(Step(str(day), "", (spent, self._expected(day, today), self._limit())))
        return charts.lines(_("Spent in this month, day by day"), steps, SERIES if self.limit else SERIES[:2], unit="$")

    def _limit(self) -> float | None:
        return None if self.limit is None else float(self.limit)

    def _expected(self, day: int, today: int) -> float | None:
        if self.forecast is None or day < today:
            return None
        begins, whole = float(self.spent), float(self.forecast)
        return begins + (whole - begins) * (day - today) / max(self.days - today, 1)


def part_over(first: date, time_zone: str, now: datetime) -> float:
    """Return how much of a month is over, from 0 to 1."""
    zone = ZoneInfo(time_zone)
    begins = datetime.combine(first, time(), zone)
    days = calendar.monthrange(first.year, first.month)[1]
    return max(0.0, min((now - begins).total_seconds() / (days * 86_400), 1.0))
