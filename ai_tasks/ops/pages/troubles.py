"""What is wrong now, as sentences: the strip at the head of the overview, the worst first."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import F, FloatField
from django.db.models.functions import Cast, NullIf
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ai_tasks import rollups
from ai_tasks.accounts.coverage import MINUTE, TASKS, USAGE
from ai_tasks.accounts.ledger import QUARTER
from ai_tasks.accounts.models import BudgetPeriod
from ai_tasks.managers import SILENT_AFTER
from ai_tasks.models import RollupState, WorkerProcess
from ai_tasks.ops.pages.fleet import Standing
from providers import standing
from queueing import standing as queues

OLD_WAIT = timedelta(minutes=10)
"""From here on a wait is told at the head of the page."""
GROWTH = 10
"""Dead letters of an hour that are told, when they are also more than GROWTH_FACTOR times the usual."""
GROWTH_FACTOR = 3
NEARLY_USED = 0.8
BUDGETS_SHOWN = 6
LATE = timedelta(minutes=3)
"""Sweeps that leave a trace run every minute."""


class Trouble(NamedTuple):
    """Something that an operator should know."""

    level: str
    """`bad` or `warn`."""
    text: str
    kind: str = ""
    """Of the alert that it is (ai_tasks.ops.alerts); empty: none."""
    key: str = ""
    """Which one of its kind."""

    @property
    def link(self) -> str:
        """Return the page where one sees more of it; empty where there is none."""
        name = LINKS.get(self.kind)
        if name is None:
            return ""
        return reverse(name, args=[self.key.partition(".")[0]] if name in OF_A_PROVIDER else [])


OF_A_PROVIDER = ("ops:provider", "ops:queue")
LINKS = {
    **dict.fromkeys(("circuit_open", "paused", "told_to_wait"), "ops:provider"),
    **dict.fromkeys(("queue_age", "queue_full"), "ops:queue"),
    "dead_letters": "ops:dead-letters",
    **dict.fromkeys(("silent_worker", "no_worker", "late_sweep"), "ops:workers"),
}
"""Where the kinds of trouble are seen to."""


class BudgetUse(NamedTuple):
    """A budget's current month or day, and how much of it is used."""

    period: BudgetPeriod
    share: float


def of_providers(fleet: Iterable[Standing]) -> list[Trouble]:
    """Return what is wrong with providers and their queues."""
    stands = {stand.slug: stand for stand in fleet}
    return [each for stand in stands.values() for each in _of_provider(stand, stands)]


def _goes_on_to(it: Standing, stands: Mapping[str, Standing]) -> str:
    """Return where tasks of a provider that is down go on to, and how full it is there; empty: nowhere."""
    for _alias, places in standing.routes_by(it.slug):
        names = [place.provider for place in places]
        for name in names[names.index(it.slug) + 1 :]:
            if name != it.slug and name in stands and stands[name].state == "available":
                meter = stands[name].tightest
                used = f"{meter.share or 0:.0%}" if meter else "0%"
                return " " + _("New work goes on to %(next)s, at %(used)s of its limit.") % {"next": name, "used": used}
    return ""


def _of_provider(it: Standing, stands: Mapping[str, Standing]) -> list[Trouble]:
    found, name = [], {"provider": it.slug, "waiting": f"{it.waiting:,}"}
    circuit = it.circuit
    if it.state == "circuit_open":
        since = f"{circuit['opened_at']:%H:%M} UTC" if circuit["opened_at"] else "?"
        text = _("The circuit of %(provider)s is open since %(since)s (%(cause)s); %(waiting)s tasks wait.")
        told = text % (name | {"since": since, "cause": circuit["cause"] or "?"})
        found.append(Trouble("bad", told + _goes_on_to(it, stands), "circuit_open", it.slug))
    elif it.state == "paused" and it.paused:
        text = _("%(provider)s is paused: %(reason)s; %(waiting)s tasks wait.")
        told = text % (name | {"reason": it.paused.pause_reason or "?"})
        found.append(Trouble("warn", told, "paused", it.slug))
    elif it.state == "provider_retry_after":
        text = _("%(provider)s asked us to wait; %(waiting)s tasks wait.")
        found.append(Trouble("warn", text % name, "told_to_wait", it.slug))
    elif it.oldest_wait and it.oldest_wait > OLD_WAIT:
        minutes = int(it.oldest_wait.total_seconds() // 60)
        text = ngettext(
            "A task waits at %(provider)s for %(minutes)d minute.",
            "A task waits at %(provider)s for %(minutes)d minutes.",
            minutes,
        )
        found.append(Trouble("warn", text % (name | {"minutes": minutes}), "queue_age", it.slug))
    for lane in it.lanes:
        if lane.pressure == "full":
            queue = str(lane.queue)
            text = _("The queue %(queue)s is full: new tasks are refused.") % {"queue": queue}
            found.append(Trouble("bad", text, "queue_full", queue))
    return found


def of_dead_letters(dead: Mapping[str, int]) -> list[Trouble]:
    """Return that dead letters grow, where they do: many in this hour, against the mean of the week."""
    hour, week = dead["last_hour"], dead["last_week"]
    if hour < GROWTH or hour < GROWTH_FACTOR * week / (7 * 24):
        return []
    text = ngettext(
        "%(count)d dead letter came in the last hour.", "%(count)d dead letters came in the last hour.", hour
    )
    return [Trouble("bad", text % {"count": hour}, "dead_letters")]


def budgets(now: datetime, most: int = BUDGETS_SHOWN) -> list[BudgetUse]:
    """Return the budgets of which most is used, the fullest first."""
    limit = NullIf(Cast("limit_usd", FloatField()), 0.0)
    used = Cast("spent_usd", FloatField()) + Cast("held_usd", FloatField())
    rows = BudgetPeriod.objects.filter(starts_at__lte=now, ends_at__gt=now, budget__is_enabled=True)
    rows = rows.annotate(share=used / limit).select_related("budget")
    return [
        BudgetUse(row, 1.0 if row.share is None else row.share)
        for row in rows.order_by(F("share").desc(nulls_first=True), "pk")[:most]
    ]


def of_budgets(used: Iterable[BudgetUse]) -> list[Trouble]:
    """Return which budgets are nearly or wholly used."""
    text = _("Budget %(budget)s has used %(share)s of its limit for %(period)s.")
    return [
        Trouble(
            "bad" if each.share >= 1 else "warn",
            text % {"budget": each.period.budget, "share": f"{each.share:.0%}", "period": each.period.period},
            "budget_100" if each.share >= 1 else "budget_80",
            f"{each.period.budget_id} {each.period.period}",
        )
        for each in used
        if each.share >= NEARLY_USED
    ]


def of_processes(now: datetime) -> list[Trouble]:
    """Return which workers went silent, that there is none, and that sweeps are late."""
    rows = list(WorkerProcess.objects.filter(stopping_at=None).values_list("hostname", "pid", "last_seen_at"))
    silent = [row for row in rows if row[2] < now - SILENT_AFTER]
    found = [
        Trouble("bad", _("Worker %(name)s is silent.") % {"name": name}, "silent_worker", name)
        for name in [f"{host}:{pid}" for host, pid, _seen in silent[:5]]
    ]
    if len(rows) == len(silent):
        found.insert(0, Trouble("bad", _("No worker is running: nothing is started."), "no_worker"))
    text = _("Sweeps are late: %(name)s %(minutes)d minutes ago.")
    for each in sweeps(now):
        if each.at and each.is_late:
            minutes = int((now - each.at).total_seconds() // 60)
            found.append(Trouble("bad", text % {"name": each.name, "minutes": minutes}, "late_sweep", str(each.name)))
    return found


class Sweep(NamedTuple):
    """What beat does regularly and leaves a trace of, and when it last did; None: never yet."""

    name: Any
    at: datetime | None
    is_late: bool


def sweeps(now: datetime) -> list[Sweep]:
    """Return the sweeps that leave a trace."""
    rolled = dict(RollupState.objects.values_list("name", "until"))
    traces = (
        (_("queues measured"), queues.newest_sample_at(), LATE),
        (_("tasks rolled up until"), rolled.get(TASKS), LATE + rollups.LAG + MINUTE),
        (_("usage rolled up until"), rolled.get(USAGE), LATE + rollups.LAG + QUARTER),
    )
    return [Sweep(name, at, at is not None and now - at > bearable) for name, at, bearable in traces]


def ordered(troubles: Iterable[Trouble]) -> list[Trouble]:
    """Return them, the worst first."""
    return sorted(troubles, key=lambda each: each.level != "bad")
