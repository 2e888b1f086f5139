"""What operators watch: alerts, queues, circuits, budgets; and what of it has changed since it was last told."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from ai_tasks import clock
from ai_tasks.models import Alert
from ai_tasks.ops.alerts import alert_json
from ai_tasks.ops.pages import fleet, troubles
from ai_tasks.ops.pages.fleet import Standing
from ai_tasks.representation import moment, usd

Json = dict[str, Any]
NEEDS = "queueing.view_taskqueue"
SEES_BUDGETS = "ai_tasks.view_budget"


class News:
    """One operator's view: remembers what was told."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        self._told: dict[tuple[str, str], Json] = {}

    def look(self) -> list[tuple[str, Json]] | None:
        """Return (kind of frame, members) of what has changed; None: this user may not look any more."""
        user = User.objects.filter(pk=self.user_id, is_active=True, is_staff=True).first()
        if user is None or not user.has_perm(NEEDS):
            return None
        seen = self._see(clock.now(), sees_budgets=user.has_perm(SEES_BUDGETS))
        news = [(kind, members) for (kind, key), members in seen.items() if self._told.get((kind, key)) != members]
        gone = [key for kind, key in self._told if kind == "alert.raised" and (kind, key) not in seen]
        cleared = Alert.objects.filter(pk__in=[UUID(key) for key in gone])
        self._told = seen
        return [*(("alert.cleared", {"alert": alert_json(row)}) for row in cleared), *news]

    def _see(self, now: datetime, *, sees_budgets: bool) -> dict[tuple[str, str], Json]:
        seen: dict[tuple[str, str], Json] = {}
        for alert in Alert.objects.open().order_by("pk"):
            seen["alert.raised", str(alert.pk)] = {"alert": alert_json(alert)}
        for stand in fleet.read(now):
            seen["queue.updated", stand.slug] = {"queue": _queue(stand)}
            for model, row in stand.circuits.items():
                if not model or row["state"] != "closed" or row["mode"] != "auto":
                    seen["circuit.updated", f"{stand.slug}/{model}"] = {"circuit": _circuit(stand.slug, model, row)}
        for use in troubles.budgets(now) if sees_budgets else ():
            seen["budget.updated", str(use.period.pk)] = {"budget": _budget(use)}
        return seen


def _queue(stand: Standing) -> Json:
    since = [lane.depth.oldest_at for lane in stand.lanes if lane.depth.oldest_at]
    return {
        "provider": stand.slug,
        "state": stand.state,
        "until": moment(stand.until),
        "waiting": stand.waiting,
        "is_estimate": stand.is_estimate,
        "parked": stand.parked,
        "at_work": stand.handed,
        "waiting_since": moment(min(since, default=None)),
    }


def _circuit(provider: str, model: str, row: Json) -> Json:
    plain = {name: row[name] for name in ("state", "mode", "cause")}
    times = {name: moment(row.get(name)) for name in ("opened_at", "open_until")}
    return {"provider": provider, "model": model or None, **plain, **times}


def _budget(use: troubles.BudgetUse) -> Json:
    period, budget = use.period, use.period.budget
    return {
        "id": budget.pk,
        "scope": budget.scope,
        "key": budget.scope_key,
        "period": period.period,
        "spent_usd": usd(period.spent_usd),
        "held_usd": usd(period.held_usd),
        "limit_usd": usd(period.limit_usd),
        "share": round(use.share, 4),
    }
