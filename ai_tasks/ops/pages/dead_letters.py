"""Dead letters: what they have in common, and one by one; both by the filters that REST and redrives take."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from ai_tasks import clock, tables
from ai_tasks.errors import InvalidInput
from ai_tasks.ops.pages.desk import Page, StaffPage
from ai_tasks.pagination import page
from queueing.dead_letters import filters
from queueing.errors import BadFilter
from queueing.models import DeadLetter, TaskQueue

GROUPS_SHOWN = 100
LETTERS_SHOWN = "25"
LETTERS_IN_FILE = 10_000
COLUMNS = (
    "id",
    "task_id",
    "task_type",
    "provider",
    "model",
    "owner_key",
    "reason",
    "error_class",
    "message",
    "fingerprint",
    "attempts",
    "resolution",
    "created_at",
)
"""Of the file."""
OFFERED = ("provider", "error_class", "task_type", "reason", "owner", "fingerprint", "resolution")
"""The filters that the form has; the address takes all of them."""
NOT_FILTERS = {"cursor", "view"}


class DeadLettersPage(Page):
    """`/admin/ops/dead-letters/`: groups, or with `?view=letters` the letters themselves."""

    needs = "queueing.view_deadletter"
    title = _("Dead letters")
    template = "dead_letters.html"
    live_seconds = 15

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the groups, or one page of letters."""
        chosen = chosen_by(request)
        are_letters, now = request.GET.get("view") == "letters", clock.now()
        context = {
            "now": now,
            "chosen": {name: values[0] for name, values in chosen.items() if name in OFFERED},
            "query": chosen,
            "actionable": _actionable(chosen),
            "query_string": urlencode(chosen, doseq=True),
            "resolutions": [*DeadLetter.Resolution.choices, (filters.ANY, _("all"))],
            "are_letters": are_letters,
            "live_seconds": 0 if are_letters else self.live_seconds,
            "is_first": "cursor" not in request.GET,
        }
        return context | (_letters(request, chosen) if are_letters else _groups(chosen, now))


def _actionable(chosen: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of an action on all that are listed; empty where they are not open."""
    others = {name: value for name, value in chosen.items() if name != "resolution"}
    return (others or {"all": "1"}) if chosen.get("resolution", ["open"]) == ["open"] else {}


def chosen_by(request: HttpRequest) -> dict[str, Any]:
    """Return the query's filters, checked; those that are empty are left out, and wrong ones answered by 400."""
    given = {name: list(filter(None, request.GET.getlist(name))) for name in request.GET if name not in NOT_FILTERS}
    given = {name: values for name, values in given.items() if values}
    moments = {name: values[-1] for name, values in given.items() if name in filters.TIMES}
    try:
        return filters.checked({**given, **moments})
    except BadFilter as error:
        raise BadRequest(f"{error.name[:40]}: {error.detail}") from error


def _letters(request: HttpRequest, chosen: dict[str, Any]) -> dict[str, Any]:
    wanted = {"limit": LETTERS_SHOWN, "cursor": request.GET.get("cursor", "")}
    try:
        found = page(TaskQueue.objects.get_dlq_items(chosen), wanted, list)
    except InvalidInput as error:
        raise Http404 from error
    return {"letters": found["data"], "next": found["next"]}


def _groups(chosen: dict[str, Any], now: Any) -> dict[str, Any]:
    rows = list(TaskQueue.objects.get_dlq_groups(chosen, now=now)[: GROUPS_SHOWN + 1])
    sums = DeadLetter.objects.matching(chosen).totals(now)
    return {"groups": with_examples(rows[:GROUPS_SHOWN]), "is_more": len(rows) > GROUPS_SHOWN, "sums": sums}


def with_examples(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups, each with its newest letter's message, and the address of its letters."""
    groups = list(rows)
    newest = DeadLetter.objects.in_bulk([UUID(row["example"]) for row in groups])
    for row in groups:
        letter = newest.get(UUID(row["example"]))
        row["letter"] = letter
        row["query"] = {name: row[name] for name in ("provider", "error_class", "fingerprint")}
        row["query_string"] = urlencode(row["query"])
    return groups


class DeadLettersFile(StaffPage):
    """`/admin/ops/dead-letters.csv`: the same letters, the newest LETTERS_IN_FILE of them."""

    needs = "queueing.view_deadletter"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Return the file."""
        letters = TaskQueue.objects.get_dlq_items(chosen_by(request), limit=LETTERS_IN_FILE)
        headers = {"Content-Disposition": 'attachment; filename="dead-letters.csv"'}
        return HttpResponse(tables.csv(COLUMNS, letters.values(*COLUMNS)), content_type=tables.CSV, headers=headers)
