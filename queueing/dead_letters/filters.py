"""
What dead letters can be chosen by: a closed set of names, each value checked.

A checked filter is JSON, so that a redrive can keep it: lists of words, lists of ids, moments in ISO 8601.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.dateparse import parse_datetime

from queueing.errors import BadFilter

MOST_IDS = 1_000
MOST_WORDS = 100
WORD_LENGTH = 200
ANY = "any"
"""As `resolution`: whatever became of them."""
RESOLUTIONS = ("open", "redriven", "discarded", ANY)

WORDS = {
    "provider": "provider__in",
    "model": "model__in",
    "task_type": "task_type__in",
    "lane": "lane__in",
    "owner": "owner_key__in",
    "reason": "reason__in",
    "error_class": "error_class__in",
    "fingerprint": "fingerprint__in",
    "outcome": "redrive_outcome__in",
    "resolution": "resolution__in",
}
TIMES = {"created_after": "created_at__gte", "created_before": "created_at__lt"}
IDS = ("ids", "redrive")
NAMES = (*IDS, *WORDS, *TIMES)


def checked(filters: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the filters as JSON, values as lists; raises BadFilter for an unknown name or a value of the wrong kind.

    `ids`: letters' or tasks' ids. `redrive`: of jobs that touched them. `created_after` is included, `created_before`
    is not. The others: one word or several, of which one must hold.
    """
    return {name: _check_of(name)(name, value) for name, value in filters.items() if value is not None}


def condition(filters: Mapping[str, Any]) -> Q:
    """Return what a checked filter asks for; without `resolution` only open letters are meant."""
    wanted = dict(filters)
    resolutions = wanted.pop("resolution", ["open"])
    found = Q() if ANY in resolutions else Q(resolution__in=resolutions)
    if ids := wanted.pop("ids", None):
        found &= Q(pk__in=ids) | Q(task_id__in=ids)
    if redrives := wanted.pop("redrive", None):
        found &= Q(redrive__in=redrives)
    lookups = WORDS | TIMES
    return found & Q(**{lookups[name]: value for name, value in wanted.items()})


def _check_of(name: str) -> Callable[[str, Any], Any]:
    if name in IDS:
        return as_ids
    if name in TIMES:
        return as_moment
    if name in WORDS:
        return as_words
    raise BadFilter(name, f"There is no such filter; there are {', '.join(NAMES)}.")


def _several(name: str, value: Any, most: int) -> list[Any]:
    values = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) else [value]
    if not 1 <= len(values) <= most:
        raise BadFilter(name, f"Give 1 to {most} values.")
    return values


def as_ids(name: str, value: Any) -> list[str]:
    """Return ids as text; raises BadFilter."""
    try:
        return [str(each if isinstance(each, UUID) else UUID(each)) for each in _several(name, value, MOST_IDS)]
    except (ValueError, AttributeError, TypeError) as error:
        raise BadFilter(name, "An id is a UUID.") from error


def as_words(name: str, value: Any) -> list[str]:
    """Return words, printable and of a readable length; raises BadFilter."""
    words = _several(name, value, MOST_WORDS)
    for word in words:
        if not (isinstance(word, str) and 1 <= len(word) <= WORD_LENGTH and word.isprintable()):
            raise BadFilter(name, f"A value has 1 to {WORD_LENGTH} printable characters.")
    if name == "resolution" and not set(words) <= set(RESOLUTIONS):
        raise BadFilter(name, f"Not among {', '.join(RESOLUTIONS)}.")
    return [str(word) for word in words]


def as_moment(name: str, value: Any) -> str:
    """Return a time in ISO 8601; raises BadFilter."""
    moment = _parsed(value)
    if moment is None or moment.tzinfo is None or not 1970 < moment.year < 9999:
        raise BadFilter(name, "Not an ISO 8601 date and time with its offset.")
    return moment.isoformat()


def _parsed(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        return parse_datetime(value) if isinstance(value, str) and len(value) <= 40 else None
    except ValueError:
        return None
