"""
Which model names a price stands for: the clauses of genai-prices, as JSON.

A clause is an object with one member: `equals`, `starts_with`, `ends_with`, `contains` or `regex` with a text, `or` or
`and` with a list of clauses. Case does not count. See https://github.com/pydantic/genai-prices.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

Clause = dict[str, Any]

TEXTS: dict[str, Callable[[str, str], bool]] = {
    "equals": lambda name, text: name == text.lower(),
    "starts_with": lambda name, text: name.startswith(text.lower()),
    "ends_with": lambda name, text: name.endswith(text.lower()),
    "contains": lambda name, text: text.lower() in name,
    "regex": lambda name, text: bool(re.search(text, name)),
}
LISTS: dict[str, Callable[[Any], bool]] = {"or": any, "and": all}
DEEPEST = 4
COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def matches(clause: Clause, name: str) -> bool:
    """Does the clause hold for this name, which is in lower case?"""
    ((kind, value),) = clause.items()
    if kind in LISTS:
        return LISTS[kind](matches(each, name) for each in value)
    return TEXTS[kind](name, value)


def spellings(name: str) -> list[str]:
    """Return the ways to look a model's name up, the first choice first: `-20251211` is also tried as `-2025-12-11`."""
    lower = name.lower()
    dashed = COMPACT_DATE.sub(_with_dashes, lower)
    return [lower] if dashed == lower else [lower, dashed]


def _with_dashes(found: re.Match[str]) -> str:
    try:
        return f"-{date(*(int(part) for part in found.groups())).isoformat()}"
    except ValueError:
        return found[0]


def check_clause(value: Any, depth: int = 0) -> None:
    """Raise ValidationError where the value is no clause (a model field's validator)."""
    if not isinstance(value, dict) or len(value) != 1 or depth > DEEPEST:
        raise ValidationError(_('A clause is an object with one member, as {"starts_with": "gpt-"}.'))
    ((kind, given),) = value.items()
    if kind in LISTS and isinstance(given, list) and given:
        for each in given:
            check_clause(each, depth + 1)
    elif kind not in TEXTS or not isinstance(given, str) or not given:
        known = ", ".join([*TEXTS, *LISTS])
        raise ValidationError(
            _("%(kind)s is not one of %(known)s with a text or a list of clauses."),
            params={"kind": kind, "known": known},
        )
    elif kind == "regex":
        _check_regex(given)


def _check_regex(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValidationError(_("The regular expression is wrong: %(error)s."), params={"error": error}) from error
