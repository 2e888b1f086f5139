"""The limits of every provider and model, and what of them is in use by the counters that admission reads."""

from typing import Any, NamedTuple

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ai_tasks import clock
from ai_tasks.ops.pages import fleet
from ai_tasks.ops.pages.desk import Page


class Row(NamedTuple):
    """A provider, or one of its models."""

    stand: fleet.Standing
    model: str
    meters: list[fleet.Meter]


class LimitsPage(Page):
    """`/admin/ops/limits/`"""

    needs = "providers.view_providerlimit"
    title = _("Limits")
    template = "limits.html"
    live_seconds = 5

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return a row for each provider and each model that has a limit of its own."""
        now = clock.now()
        rows = []
        for stand in fleet.read(now):
            rows += [Row(stand, model, stand.meters(model)) for model in sorted(stand.limits)]
        return {"now": now, "rows": rows}
