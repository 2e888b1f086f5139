"""The first page: what is wrong, how every provider stands, what died, what it costs."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks import clock, performance
from ai_tasks.accounts.coverage import DAY, HOUR, MINUTE, ceiling
from ai_tasks.ops.pages import fleet, troubles
from ai_tasks.ops.pages.dead_letters import with_examples
from ai_tasks.ops.pages.desk import Page
from ai_tasks.ops.pages.statistics import SPANS, ended
from ai_tasks.performance import Performance
from queueing.models import DeadLetter, TaskQueue

GROUPS_SHOWN = 8


class Overview(Page):
    """`/admin/ops/`"""

    needs = "queueing.view_taskqueue"
    title = gettext_lazy("Overview")
    template = "overview.html"
    live_seconds = 5

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the state of everything."""
        now = clock.now()
        stands, used = fleet.read(now), troubles.budgets(now)
        day = performance.report(ceiling(now - DAY, HOUR), ceiling(now, MINUTE), step=HOUR)
        hour = performance.report(now - HOUR, ceiling(now, MINUTE), step=MINUTE)
        groups = list(TaskQueue.objects.get_dlq_groups(now=now)[:GROUPS_SHOWN])
        dead = DeadLetter.objects.open().totals(now)
        found = troubles.of_providers(stands) + troubles.of_dead_letters(dead) + troubles.of_processes(now)
        return {
            "now": now,
            "troubles": troubles.ordered(found + troubles.of_budgets(used)),
            "providers": [(stand, hour.by_provider.get(stand.slug)) for stand in stands],
            "pills": _pills(stands, day.total, dead["count"]),
            "chart": ended(_("Tasks that ended in each hour of the last day"), day.over_time, SPANS["day"], now),
            "over_time": list(reversed(day.over_time.items())),
            "groups": with_examples(groups),
            "budgets": used,
        }


def _pills(stands: list[fleet.Standing], day: Performance, dead: int) -> list[dict[str, Any]]:
    waiting = sum(stand.waiting for stand in stands)
    about = "≈ " if any(stand.is_estimate for stand in stands) else ""
    parked = sum(stand.parked for stand in stands)
    beyond = "+" if any(stand.is_parked_bound for stand in stands) else ""
    oldest = max((stand.oldest_wait for stand in stands if stand.oldest_wait), default=None)
    return [
        {"label": _("waiting"), "value": f"{about}{waiting:,}", "link": reverse("ops:queues")},
        {"label": _("parked"), "value": f"{parked:,}{beyond}", "link": reverse("ops:queues")},
        {"label": _("at work"), "value": sum(stand.handed for stand in stands)},
        {
            "label": _("oldest wait"),
            "span": oldest,
            "level": "warn" if oldest and oldest > troubles.OLD_WAIT else "",
        },
        {"label": _("completed, 24 h"), "value": day.completed},
        {"label": _("failed or timed out, 24 h"), "value": day.failed + day.timed_out},
        {
            "label": _("dead letters"),
            "value": dead,
            "level": "bad" if dead else "",
            "link": reverse("ops:dead-letters"),
        },
    ]
