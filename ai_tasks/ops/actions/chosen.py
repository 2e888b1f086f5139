"""What a query chooses objects by, and how that is told."""

from collections.abc import Collection, Mapping
from typing import Any

from django.http import HttpRequest

from queueing.errors import BadFilter

ALL = "all"
"""The parameter that says that, without a filter, everything is meant."""
NOT_FILTERS = {"next", "before", "cursor"}
"""Parameters that choose nothing."""
WORDS_TOLD = 200


def chosen_by(request: HttpRequest, names: Collection[str], *, single: Collection[str]) -> dict[str, Any]:
    """
    Return what the query chooses by: lists, and one value of those names that are `single`; empty ones left out.

    Raises BadFilter for other names, and where neither a filter nor `all` is given: what was left out by mistake must
    not mean everything.
    """
    given = {name: list(filter(None, values)) for name, values in request.GET.lists() if name not in NOT_FILTERS}
    is_all = bool(given.pop(ALL, None))
    if unknown := sorted(set(given) - set(names)):
        raise BadFilter(unknown[0][:100], f"There is no such filter; there are {', '.join(names)}.")
    found = {name: values[-1] if name in single else values for name, values in given.items() if values}
    if not found and not is_all:
        raise BadFilter("filter", "Nothing is chosen.")
    return found


def told(chosen: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the filters for people; of ids, how many."""
    return [(name, _told(name, value)[:WORDS_TOLD]) for name, value in chosen.items()]


def _told(name: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return str(len(values)) if name == "ids" else ", ".join(map(str, values))
