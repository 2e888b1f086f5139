"""What a month cost: by provider, model, type and user, against the month before and its budget, and as a file."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks import clock, tables, usage
from ai_tasks.accounts.models import Budget, BudgetPeriod
from ai_tasks.ops.pages import troubles
from ai_tasks.ops.pages.burndown import Burndown, part_over
from ai_tasks.ops.pages.desk import Page, StaffPage, asked
from ai_tasks.usage import Line, Question, TooMuch

ROWS_SHOWN = 25
KINDS = ("provider", "model", "type")
FILE_GROUPS = ("day", *KINDS, "user")
"""Of each line of the file."""
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Asked:
    """A month, and what of it."""

    first: date
    time_zone: str
    only: tuple[tuple[str, str], ...]
    user: str
    owner_id: int | None

    def question(self, since: date, until: date, *groups: str) -> Question:
        """Return the question for these days and groups."""
        return Question(since, until, self.time_zone, groups, self.owner_id, self.only)

    @property
    def until(self) -> date:
        """The first day of the month after it."""
        return (self.first + timedelta(days=31)).replace(day=1)

    @property
    def before(self) -> date:
        """The first day of the month before it."""
        return (self.first - timedelta(days=1)).replace(day=1)

    def compared_until(self, now: datetime) -> date:
        """Return until when the month before is compared: as far as this one has come."""
        today = now.astimezone(ZoneInfo(self.time_zone)).date()
        return min(self.before + (min(today + timedelta(days=1), self.until) - self.first), self.first)

    @property
    def query(self) -> dict[str, str]:
        """Return it as parameters."""
        named = {"month": f"{self.first:%Y-%m}", "time_zone": self.time_zone, "user": self.user, **dict(self.only)}
        return {name: value for name, value in named.items() if value}


def read(request: HttpRequest, now: datetime) -> Asked:
    """Return what a query asks for; answers 400 to what cannot be."""
    given = asked(request, "month", "time_zone", "user", *KINDS)
    try:
        zone = ZoneInfo(given["time_zone"] or "UTC")
        first = date.fromisoformat(f"{given['month']}-01") if given["month"] else None
    except (KeyError, ValueError, OSError) as error:
        raise BadRequest(_("The month is as 2026-11, the time zone as Asia/Tokyo.")) from error
    first = first or now.astimezone(zone).date().replace(day=1)
    if not 2000 <= first.year < 2200:
        raise BadRequest(_("That month is too far away."))
    only = tuple((name, given[name]) for name in KINDS if given[name])
    return Asked(first, zone.key, only, given["user"], _owner_id(given["user"]) if given["user"] else None)


def _owner_id(username: str) -> int:
    owner = get_user_model()._default_manager.filter(username=username).first()
    if owner is None:
        raise BadRequest(_("There is no user of that name."))
    return int(owner.pk)


class Row(NamedTuple):
    """One group of a table."""

    name: str
    cost_usd: Decimal
    tokens: int
    calls: int
    share: float
    change: float | None
    """Against the month before; None: nothing was spent then."""


class CostsPage(Page):
    """`/admin/ops/costs/`"""

    needs = "ai_tasks.view_costs"
    title = gettext_lazy("Costs")
    template = "costs.html"

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the month's sums."""
        now = clock.now()
        wish = read(request, now)
        until = wish.compared_until(now)
        try:
            days, total = usage.report(wish.question(wish.first, wish.until, "day"))
            these, those = (_both(wish, until, *KINDS), _both(wish, until, "user"))
        except TooMuch as error:
            raise BadRequest(str(error)) from error
        compared = sum((line.cost_usd for line in these[1]), ZERO)
        month = _burndown(wish, days, total.cost_usd, now)
        return {
            "now": now,
            "title": _("Costs of %(month)s") % {"month": f"{wish.first:%Y-%m}"},
            "wish": wish,
            "only": dict(wish.only),
            "total": total,
            "month": month,
            "change": _change(total.cost_usd, compared),
            "compared": compared,
            "tokens": total.input_tokens + total.output_tokens,
            "chart": month.chart(),
            "days": [(line.group["day"], line) for line in reversed(days)],
            "tables": [
                *((kind, name, *_rows(these, kind)) for kind, name in _names()),
                ("user", _("User"), *_rows(those, "user")),
            ],
            "before": f"{wish.before:%Y-%m}",
            "after": f"{wish.until:%Y-%m}",
            "budgets": troubles.budgets(min(now, _end(wish))) if not wish.only and not wish.user else [],
            "file_query": urlencode(wish.query),
            "may_export": request.user.has_perm(CostsFile.needs),
        }


def _names() -> Iterable[tuple[str, str]]:
    return zip(KINDS, (_("Provider"), _("Model"), _("Type")), strict=True)


def _end(wish: Asked) -> datetime:
    return datetime.combine(wish.until, datetime.min.time(), ZoneInfo(wish.time_zone)) - timedelta(seconds=1)


def _both(wish: Asked, until: date, *groups: str) -> tuple[list[Line], list[Line]]:
    """Return the lines of the month, and those of as much of the month before."""
    here, _total = usage.report(wish.question(wish.first, wish.until, *groups))
    if until <= wish.before:
        return here, []
    return here, usage.report(wish.question(wish.before, until, *groups))[0]


def _rows(lines: tuple[Sequence[Line], Sequence[Line]], kind: str) -> tuple[list[Row], int]:
    """Return the rows of one table, the dearest first, as many as are shown, and how many there are."""
    sums: dict[str, list[Any]] = defaultdict(lambda: [ZERO, 0, 0])
    before: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines[0]:
        had = sums[line.group[kind]]
        added = (line.cost_usd, line.input_tokens + line.output_tokens, line.calls)
        had[:] = [one + other for one, other in zip(had, added, strict=True)]
    for line in lines[1]:
        before[line.group[kind]] += line.cost_usd
    whole = sum((cost for cost, _, _ in sums.values()), ZERO)
    rows = [
        Row(name, *numbers, share=float(numbers[0] / whole) if whole else 0.0, change=_change(numbers[0], before[name]))
        for name, numbers in sums.items()
    ]
    return sorted(rows, key=lambda row: (-row.cost_usd, -row.tokens, row.name))[:ROWS_SHOWN], len(rows)


def _change(now: Decimal, before: Decimal) -> float | None:
    return float(now / before) - 1 if before else None


def _burndown(wish: Asked, days: Iterable[Line], spent: Decimal, now: datetime) -> Burndown:
    by_day = {date.fromisoformat(line.group["day"]): line.cost_usd for line in days}
    return Burndown(wish.first, spent, _limit(wish), part_over(wish.first, wish.time_zone, now), by_day)


def _limit(wish: Asked) -> Decimal | None:
    """Return the limit of the monthly budget that bounds just what is shown; None: there is none."""
    names = {"provider": Budget.Scope.PROVIDER, "type": Budget.Scope.TASK_TYPE}
    chosen = [(names.get(name), value) for name, value in wish.only]
    chosen += [(Budget.Scope.USER, str(wish.owner_id))] if wish.user else []
    scope, key = chosen[0] if len(chosen) == 1 else (None, "") if chosen else (Budget.Scope.GLOBAL, "")
    if scope is None:
        return None
    budgets = Budget.objects.filter(scope=scope, scope_key=key, interval=Budget.Interval.MONTH, is_enabled=True)
    if (budget := budgets.first()) is None:
        return None
    period = BudgetPeriod.objects.filter(budget=budget, period=f"{wish.first:%Y-%m}").order_by("-ends_at").first()
    limit: Decimal = period.limit_usd if period else budget.limit_usd
    return limit


class CostsFile(StaffPage):
    """`/admin/ops/costs.csv`: the same, a line for each day, provider, model, type and user."""

    needs = "ai_tasks.export_costs"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Return the file; a day is asked for at a time, so that a month may have many lines."""
        wish, lines = read(request, clock.now()), list[Line]()
        day = wish.first
        while day < wish.until:
            after = day + timedelta(days=1)
            try:
                lines += usage.report(wish.question(day, after, *FILE_GROUPS))[0]
            except TooMuch as error:
                raise BadRequest(f"{day}: {error}") from error
            day = after
        headers = {"Content-Disposition": f'attachment; filename="costs-{wish.first:%Y-%m}.csv"'}
        return HttpResponse(tables.usage_csv(FILE_GROUPS, lines), content_type=tables.CSV, headers=headers)
