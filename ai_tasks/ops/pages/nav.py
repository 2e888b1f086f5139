"""The console's pages in the order of its navigation."""

from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _


class Place(NamedTuple):
    """One page of the navigation."""

    name: str
    """Of its URL, in the namespace `ops`."""
    label: Any
    needs: str
    """The permission without which it is not shown."""
    within: tuple[str, ...] = ()
    """Names of the pages below it."""


PLACES = (
    Place("overview", _("Overview"), "queueing.view_taskqueue", ("provider",)),
    Place("queues", _("Queues"), "queueing.view_queueentry", ("queue",)),
    Place("tasks", _("Tasks"), "ai_tasks.view_aigenerationtask", ("task",)),
    Place("dead-letters", _("Dead letters"), "queueing.view_deadletter"),
    Place("workers", _("Workers"), "ai_tasks.view_workerprocess"),
    Place("limits", _("Limits"), "providers.view_providerlimit"),
    Place("statistics", _("Statistics"), "ai_tasks.view_taskstat"),
    Place("costs", _("Costs"), "ai_tasks.view_costs"),
    Place("health", _("Health"), "ai_tasks.view_workerprocess"),
    Place("jobs", _("Jobs"), "queueing.view_redrive", ("job",)),
    Place("audit", _("Audit"), "ai_tasks.view_auditentry"),
)
