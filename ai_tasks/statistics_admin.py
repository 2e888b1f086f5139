"""Statistics in Django admin: how the system did, read from rollups."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from ai_tasks import clock, performance, usage
from ai_tasks.accounts.coverage import DAY, HOUR, MINUTE, ceiling
from ai_tasks.accounts.fields import plain_usd
from ai_tasks.accounts.rollup_models import TaskStat, UsageStat
from ai_tasks.api.usage import asked
from ai_tasks.errors import InvalidInput
from ai_tasks.performance import Performance, Times
from queueing.admin import ReadOnlyAdmin


@dataclass(frozen=True, slots=True)
class Span:
    """A time that the page may show, and its steps."""

    title: Any
    length: timedelta
    step: timedelta
    form: str
    """How the beginning of a step is written."""


SPANS = {
    "hour": Span(_("last hour"), HOUR, MINUTE, "H:i"),
    "day": Span(_("last 24 hours"), DAY, HOUR, "H:i"),
    "week": Span(_("last 7 days"), 7 * DAY, DAY, "Y-m-d"),
    "month": Span(_("last 30 days"), 30 * DAY, DAY, "Y-m-d"),
}
USUAL = "day"


@admin.register(TaskStat)
class StatisticsAdmin(ReadOnlyAdmin):
    """What the list of rollups would show is of no use to people: the page shows what they say."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show how tasks did in a span, by time, provider and type; `?span=`, `?provider=` and `?type=` narrow it."""
        if not self.has_view_permission(request):
            return super().changelist_view(request, extra_context)
        name = request.GET.get("span", USUAL)
        span, until = SPANS.get(name, SPANS[USUAL]), clock.now()
        narrow = {"provider": request.GET.get("provider", ""), "task_type": request.GET.get("type", "")}
        report = performance.report(
            ceiling(until - span.length, span.step), ceiling(until, MINUTE), step=span.step, **narrow
        )
        context = {
            **self.admin_site.each_context(request),
            **narrow,
            "title": _("Statistics"),
            "opts": self.opts,
            "spans": SPANS.items(),
            "span": span,
            "span_name": name if name in SPANS else USUAL,
            "total": _row("", report.total),
            "by_provider": [_row(name, each) for name, each in report.by_provider.items()],
            "by_type": [_row(name, each) for name, each in report.by_type.items()],
            "over_time": list(reversed(report.over_time.items())),
            "most": max((each.ended for each in report.over_time.values()), default=0) or 1,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/ai_tasks/statistics.html", context)


def _row(name: str, did: Performance) -> dict[str, Any]:
    """Return a row of the page's tables."""
    times = {label: _shown(each) for label, each in (("waits", did.waits), ("runs", did.runs))}
    failures = f"{did.failure_share:.1%}"
    return {"name": name, "did": did, "failures": failures, "first_tokens": _shown(did.first_tokens), **times}


def _shown(times: Times) -> str:
    """Return the three percentiles."""
    return " / ".join(_duration(time) for time in _each(times))


def _each(times: Times) -> Iterable[timedelta | None]:
    return (times.p50, times.p95, times.p99)


def _duration(time: timedelta | None) -> str:
    """Return a time as people say it, with about as many digits as are known."""
    if time is None:
        return "–"
    seconds = time.total_seconds()
    for unit, length in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds * 1000:.0f} ms"


@admin.register(UsageStat)
class UsageAdmin(ReadOnlyAdmin):
    """Tokens and cost of everybody: the report of `GET /usage`, as a page."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the report that the query asks for, as the API would; what is wrong with it is said above the usual."""
        if not self.has_view_permission(request):
            return super().changelist_view(request, extra_context)
        mistake = ""
        try:
            question = asked(request.GET, None)
            lines, total = usage.report(question)
        except (InvalidInput, usage.TooMuch) as error:
            mistake, question = str(error), asked({}, None)
            lines, total = usage.report(question)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Usage"),
            "opts": self.opts,
            "mistake": mistake,
            "question": question,
            "group_by": ",".join(question.group_by),
            "groups": usage.GROUPS,
            "lines": lines,
            "total": total,
            "rows": [_line(line) for line in lines],
            "total_row": _line(total),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/ai_tasks/usage.html", context)


def _line(line: usage.Line) -> dict[str, Any]:
    return {"group": list(line.group.values()), "line": line, "cost": plain_usd(line.cost_usd)}
