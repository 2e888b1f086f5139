"""
Which tasks an operator means: a closed set of names, each value checked.

A checked filter is JSON, so that a job can keep it.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask
from ai_tasks.oversight.actions import Action
from ai_tasks.states import ACTIVE, REVIVABLE, TaskStatus
from queueing.dead_letters.filters import as_ids, as_moment, as_words
from queueing.errors import BadFilter
from queueing.models import QueueEntry
from queueing.states import Priority

WORDS = ("status", "type", "provider", "model", "lane", "related_type", "related_id")
TIMES = {"created_after": "created_at__gte", "created_before": "created_at__lt"}
LEASES = {"lost": timedelta(0), "late": timedelta(seconds=30)}
"""Of running tasks, by how soon their leases end."""
POSSIBLE: dict[Action, tuple[TaskStatus, ...]] = {
    Action.CANCEL_TASK: tuple(ACTIVE),
    Action.RETRY_TASK: tuple(REVIVABLE),
    Action.REPRIORITISE: (TaskStatus.PENDING,),
    Action.RELEASE_LEASE: (TaskStatus.PROCESSING,),
}
"""In which states a task is meant."""


def _as_priorities(name: str, value: Any) -> list[int]:
    try:
        return [int(Priority.from_word(word)) for word in as_words(name, value)]
    except KeyError as error:
        raise BadFilter(name, f"Not among {', '.join(priority.word for priority in Priority)}.") from error


def _as_owners(name: str, value: Any) -> list[int]:
    names = as_words(name, value)
    users = dict(get_user_model()._default_manager.filter(username__in=names).values_list("username", "pk"))
    if missing := sorted(set(names) - set(users)):
        raise BadFilter(name, f"There is no user {missing[0]}.")
    return sorted(users.values())


def _as_lease_end(name: str, value: Any) -> str:
    """Return before when the leases end that are meant; as the console's list of leases has them."""
    words = as_words(name, value)
    if len(words) != 1 or words[0] not in LEASES:
        raise BadFilter(name, f"Not among {', '.join(LEASES)}.")
    return as_moment(name, clock.now() + LEASES[words[0]])


CHECKS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "task": ("ids", as_ids),
    "id": ("ids", as_ids),
    "user": ("owners", _as_owners),
    "priority": ("priorities", _as_priorities),
    "leases": ("lease_before", _as_lease_end),
    **{name: (name, as_words) for name in WORDS},
    **{name: (name, as_moment) for name in TIMES},
}
"""By the name that people give: the name that is kept, and the check."""


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the filters as JSON; raises BadFilter for an unknown name or a value of the wrong kind.

    `task` or `id`: of one or several; `user`: by name; `priority`: by word; `leases`: `lost` or `late`; times in ISO
    8601; the others: one word or several, of which one must hold.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in CHECKS:
            raise BadFilter(name, f"There is no such filter; there are {', '.join(CHECKS)}.")
        kept, check = CHECKS[name]
        found[kept] = check(name, value)
    return found


def tasks(action: Action, filters: Mapping[str, Any]) -> QuerySet[AIGenerationTask]:
    """Return the tasks that checked filters choose, as far as the action is possible."""
    lookups = {"ids": "pk__in", "owners": "owner__in", "priorities": "priority__in", **TIMES}
    lookups |= {name: f"{name}__in" for name in WORDS}
    wanted = dict(filters)
    ending = wanted.pop("lease_before", None)
    chosen = Q(**{lookups[name]: value for name, value in wanted.items()})
    if ending:
        chosen &= Q(pk__in=QueueEntry.objects.running().filter(leased_until__lt=ending).values("task_id"))
    return AIGenerationTask.objects.alive().filter(chosen, status__in=POSSIBLE[action])
