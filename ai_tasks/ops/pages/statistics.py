"""How the system did: throughput, failures, waits and runs over time, by provider and by type; read from rollups."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks import clock, performance
from ai_tasks.accounts.coverage import DAY, HOUR, MINUTE, ceiling
from ai_tasks.ops.pages import charts
from ai_tasks.ops.pages.charts import Chart, Series, Step
from ai_tasks.ops.pages.desk import Page, asked
from ai_tasks.performance import Performance

OUTCOMES = (
    Series(gettext_lazy("completed"), "s1"),
    Series(gettext_lazy("failed"), "s2"),
    Series(gettext_lazy("timed out"), "s3"),
    Series(gettext_lazy("cancelled"), "s6"),
)
TIMES = (
    Series(gettext_lazy("waited, p95"), "s5"),
    Series(gettext_lazy("ran, p50"), "s4"),
    Series(gettext_lazy("ran, p95"), "s1"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """A time that the page may show, and its steps."""

    title: Any
    length: timedelta
    step: timedelta
    form: str
    """How the beginning of a step is written (strftime)."""


SPANS = {
    "hour": Span(gettext_lazy("last hour"), HOUR, MINUTE, "%H:%M"),
    "day": Span(gettext_lazy("last 24 hours"), DAY, HOUR, "%H:%M"),
    "week": Span(gettext_lazy("last 7 days"), 7 * DAY, DAY, "%m-%d"),
    "month": Span(gettext_lazy("last 30 days"), 30 * DAY, DAY, "%m-%d"),
}
USUAL = "day"


class StatisticsPage(Page):
    """`/admin/ops/statistics/`; `?span=`, `?provider=` and `?type=` narrow it."""

    needs = "ai_tasks.view_taskstat"
    title = gettext_lazy("Statistics")
    template = "statistics.html"
    live_seconds = 60

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return how tasks did in a span."""
        chosen, now = asked(request, "span", "provider", "type"), clock.now()
        name = chosen["span"] if chosen["span"] in SPANS else USUAL
        span, only = SPANS[name], {"provider": chosen["provider"], "task_type": chosen["type"]}
        report = performance.report(ceiling(now - span.length, span.step), ceiling(now, MINUTE), step=span.step, **only)
        return {
            "now": now,
            "chosen": chosen,
            "spans": SPANS.items(),
            "span_name": name,
            "total": report.total,
            "by_provider": report.by_provider.items(),
            "by_type": report.by_type.items(),
            "ended": ended(_("Tasks that ended"), report.over_time, span, now),
            "times": times(_("Seconds that tasks waited and ran"), report.over_time, span, now),
            "over_time": [(_local(moment, span), did) for moment, did in reversed(report.over_time.items())],
        }


def _local(moment: datetime, span: Span) -> str:
    return timezone.localtime(moment).strftime(span.form)


def ended(name: str, over_time: Mapping[datetime, Performance], span: Span, now: datetime) -> Chart:
    """Return bars of how many tasks ended in each step, by outcome; the step that is not over is pale."""
    steps = []
    for moment, did in over_time.items():
        values = (did.completed, did.failed, did.timed_out, did.cancelled)
        told = ", ".join(f"{each.label} {value}" for each, value in zip(OUTCOMES, values, strict=True) if value)
        label = _local(moment, span)
        steps.append(Step(label, f"{label}: {told or 0}", values, moment + span.step > now))
    return charts.bars(name, steps, OUTCOMES)


def times(name: str, over_time: Mapping[datetime, Performance], span: Span, now: datetime) -> Chart:
    """Return lines of waits and runs in seconds; where nothing ended there is a gap, not a zero."""
    steps = []
    for moment, did in over_time.items():
        values = (did.waits.p95, did.runs.p50, did.runs.p95)
        seconds = tuple(None if value is None else value.total_seconds() for value in values)
        steps.append(Step(_local(moment, span), "", seconds, moment + span.step > now))
    return charts.lines(name, steps, TIMES)
