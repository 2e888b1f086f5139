"""All tasks, newest first, by filters; a search looks at a bounded number of rows, and says how far back it came."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks.models import AIGenerationTask
from ai_tasks.ops.pages.desk import Page, as_id, asked
from ai_tasks.states import TaskStatus
from ai_tasks.task_types import registry
from providers import routing
from queueing.states import Priority

SHOWN = 25
SEARCHED = 20_000
"""Rows that one page looks at, at most: whatever the filter, it costs the same (docs/decisions/0060)."""
EXACT = ("status", "type", "provider", "model", "related_type", "related_id")
TIMES = {"created_after": "created_at__gte", "created_before": "created_at__lt"}
WORDS = (*EXACT, *TIMES, "priority", "user")
SKEW = timedelta(minutes=1)
"""So much may a task's id be newer than what stands as its creation."""
PRIORITIES = {each.word: each for each in Priority}
Tasks = Any
"""A queryset of tasks."""


class TasksPage(Page):
    """`/admin/ops/tasks/`; its query is its filters, so that every view of it can be kept."""

    needs = "ai_tasks.view_aigenerationtask"
    title = gettext_lazy("Tasks")
    template = "tasks.html"

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return one page of tasks."""
        chosen = asked(request, "id", "before", *WORDS)
        before = as_id(chosen["before"])
        newest = _newest(chosen)
        narrowed, mistake = _narrowed(chosen)
        found = search(narrowed, before or newest)
        return {
            "chosen": chosen,
            "query": _query(chosen),
            "mistake": mistake,
            "statuses": TaskStatus.choices,
            "types": sorted(registry.all_types()),
            "providers": routing.slugs(),
            "priorities": [(each.word, each.label) for each in Priority],
            "found": found,
            "searched": SEARCHED,
            "is_first": before is None,
        }


def _query(chosen: dict[str, str]) -> dict[str, str]:
    """Return the filters as an action takes them: times with their offset."""
    moments = {name: _moment(chosen[name]) for name in TIMES}
    given = {name: chosen[name] for name in ("id", *WORDS) if chosen[name]}
    return given | {name: at.isoformat() for name, at in moments.items() if at}


class Found(NamedTuple):
    """One page of a search."""

    tasks: list[AIGenerationTask]
    before: UUID | None
    """Where the next page begins; None: there is nothing older."""
    reached: datetime | None
    """How far back was looked, where that was not everything."""


def _narrowed(chosen: dict[str, str]) -> tuple[Tasks, str]:
    """Return the tasks that the filters leave, and what is wrong with the filters."""
    tasks = AIGenerationTask.objects.all()
    if chosen["id"] and as_id(chosen["id"]) is None:
        return tasks.none(), _("An id is a UUID.")
    if chosen["user"]:
        owner = get_user_model()._default_manager.filter(username=chosen["user"]).first()
        if owner is None:
            return tasks.none(), _("There is no user of that name.")
        tasks = tasks.for_user(owner)
    if chosen["priority"]:
        if chosen["priority"] not in PRIORITIES:
            return tasks.none(), _("There is no such class.")
        tasks = tasks.filter(priority=PRIORITIES[chosen["priority"]])
    moments = {name: _moment(chosen[name]) for name in TIMES if chosen[name]}
    if None in moments.values():
        return tasks.none(), _("Times are as 2026-11-23T15:00.")
    exact = {name: chosen[name] for name in EXACT if chosen[name]} | {TIMES[name]: at for name, at in moments.items()}
    return tasks.filter(**exact, **({"pk": chosen["id"]} if chosen["id"] else {})), ""


def _moment(text: str) -> datetime | None:
    """Return the time that a field of the form holds, in the reader's time zone unless it has an offset of its own."""
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    if found is None or not 1970 < found.year < 9999:
        return None
    return found if found.tzinfo else timezone.make_aware(found)


def _newest(chosen: dict[str, str]) -> UUID | None:
    """Return an id that none is above which was made before the wished time: ids begin with the time (RFC 9562)."""
    before = _moment(chosen["created_before"])
    return None if before is None else UUID(int=int((before + SKEW).timestamp() * 1000) << 80)


def search(tasks: Tasks, before: UUID | None, searched: int = SEARCHED) -> Found:
    """Return the newest of these tasks that are older than `before`, among the next so many rows of all."""
    older = {"pk__lt": before} if before else {}
    rows = AIGenerationTask.objects.filter(**older).order_by("-pk").values_list("pk", "created_at")
    floor = rows[searched : searched + 1].first()
    within = tasks.filter(**older, **({"pk__gte": floor[0]} if floor else {})).alive().order_by("-pk")
    found = list(within.select_related("owner").defer("input", "output", "metadata", "route_policy")[: SHOWN + 1])
    if len(found) > SHOWN:
        return Found(found[:SHOWN], found[SHOWN - 1].pk, None)
    return Found(found, floor[0], floor[1]) if floor else Found(found, None, None)
