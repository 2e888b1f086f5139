"""Usage reports: tokens and money by day, provider, model, user, type or related thing, exact to the last digit."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import BigIntegerField, Count, F, Q, QuerySet, Sum, Value
from django.db.models.functions import Concat, TruncDate

from ai_tasks.accounts import ledger
from ai_tasks.accounts.coverage import DAY
from ai_tasks.accounts.fields import from_quanta, plain_usd

GROUPS = ("day", "provider", "model", "user", "type", "related")
FILTERS = ("provider", "model", "type")
MOST_LINES = 10_000
LONGEST = timedelta(days=400)
LONGEST_RELATED = timedelta(days=31)
"""Only tasks know what they are related to: such a report reads the ledger itself."""
NUMBERS = (
    "calls",
    "estimated_calls",
    "unpriced_calls",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "quanta",
)


class TooMuch(ValueError):
    """The report would be longer, or over a longer time, than it may."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    since: date
    until: date
    """The day after the last."""
    time_zone: str = "UTC"
    """Its midnights part the days (IANA)."""
    group_by: tuple[str, ...] = ("day",)
    owner_id: int | None = None
    """Whose; None: everybody's."""
    only: tuple[tuple[str, str], ...] = ()
    """Pairs of FILTERS and a value."""

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From when, until before when."""
        zone = ZoneInfo(self.time_zone)
        first, last = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (self.since, self.until))
        return first, last


@dataclass(frozen=True, slots=True)
class Line:
    """One group: its values by the question's `group_by`, and its sums. Cached is within input, reasoning in output."""

    group: dict[str, str]
    calls: int
    estimated_calls: int
    """Of these nobody told us the usage: it was counted by size."""
    unpriced_calls: int
    """Of these the price is not known: they are not in the cost."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal


def shape(line: Line) -> dict[str, Any]:
    """Return a line as JSON: its group's values, then its sums, money as a plain decimal."""
    told = asdict(line)
    return {**told.pop("group"), **told, "cost_usd": plain_usd(line.cost_usd)}


def report(question: Question) -> tuple[list[Line], Line]:
    """
    Return the lines, in the order of their groups, and their total.

    Reads rollups of days and of quarters of an hour, and what is not rolled up yet; each entry counts once.
    Raises TooMuch.
    """
    longest = LONGEST_RELATED if "related" in question.group_by else LONGEST
    if question.until - question.since > longest:
        raise TooMuch(f"At most {longest.days} days.")
    sums: dict[tuple[str, ...], list[int]] = {}
    for row in _rows(question):
        key = tuple("" if value is None else str(value) for value in row[: len(question.group_by)])
        numbers = [int(number or 0) for number in row[len(question.group_by) :]]
        sums[key] = [had + number for had, number in zip(sums.get(key, [0] * len(NUMBERS)), numbers, strict=True)]
        if len(sums) > MOST_LINES:
            raise TooMuch(f"More than {MOST_LINES:,} lines: ask for fewer days or groups.")
    lines = [_line(dict(zip(question.group_by, key, strict=True)), numbers) for key, numbers in sorted(sums.items())]
    return lines, _line({}, [sum(numbers) for numbers in zip(*sums.values(), strict=True)] or [0] * len(NUMBERS))


def _line(group: dict[str, str], numbers: Sequence[int]) -> Line:
    told: dict[str, Any] = dict(zip(NUMBERS, numbers, strict=True))
    return Line(group, cost_usd=from_quanta(told.pop("quanta")), **told)


def _rows(question: Question) -> Iterable[tuple[Any, ...]]:
    narrow = Q(**({"owner_id": question.owner_id} if question.owner_id is not None else {}))
    for name, value in question.only:
        narrow &= Q(**{"task_type" if name == "type" else name: value})
    if "related" in question.group_by:
        yield from _summed(ledger.entries(*question.span).filter(narrow), question, "created_at", _RAW)
        return
    # The row of a day is one of UTC's.
    longest = ledger.QUARTER if "day" in question.group_by and question.time_zone != "UTC" else DAY
    told, rest = ledger.parts(*question.span, mark=ledger.read_mark(), longest=longest)
    yield from _summed(told.filter(narrow), question, "starts_at", _ROLLED)
    yield from _summed(rest.filter(narrow), question, "created_at", _RAW)


def _summed(rows: QuerySet[Any], question: Question, moment: str, sums: dict[str, Any]) -> QuerySet[Any]:
    keys = {
        "day": TruncDate(moment, tzinfo=ZoneInfo(question.time_zone)),
        "provider": F("provider"),
        "model": F("model"),
        "user": F("owner__username"),
        "type": F("task_type"),
    }
    if "related" in question.group_by:
        keys["related"] = Concat("task__related_type", Value("/"), "task__related_id")
    chosen = {f"by_{name}": keys[name] for name in question.group_by}
    return rows.order_by().annotate(**chosen).values_list(*chosen).annotate(**sums)


def _sum(*columns: str) -> Any:
    parts = [Sum(column, output_field=BigIntegerField(), default=0) for column in columns]
    return sum(parts[1:], start=parts[0])


_SHARED = {
    "n_unpriced": _sum("unpriced"),
    "n_cached": _sum("cache_read_tokens"),
    "n_output": _sum("output_tokens", "reasoning_tokens"),
    "n_reasoning": _sum("reasoning_tokens"),
    "n_quanta": _sum("amount_usd"),
}
_OF_ROLLED = {
    "n_calls": _sum("calls"),
    "n_estimated": _sum("estimated"),
    "n_input": _sum("input_tokens", "cache_read_tokens", "cache_write_tokens"),
}
_OF_RAW = {
    "n_calls": Count("id", filter=Q(kind="charge")),
    "n_estimated": Count("id", filter=Q(kind="charge", usage_source="estimated")),
    "n_input": _sum("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
}
_ORDER = ("n_calls", "n_estimated", "n_unpriced", "n_input", "n_cached", "n_output", "n_reasoning", "n_quanta")
_ROLLED = {name: (_SHARED | _OF_ROLLED)[name] for name in _ORDER}
_RAW = {name: (_SHARED | _OF_RAW)[name] for name in _ORDER}
