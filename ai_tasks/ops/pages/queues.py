"""The queues: every lane's depth, why entries are parked, and one provider's entries in the order of their turn."""

from typing import Any

from django.http import Http404, HttpRequest
from django.utils.translation import gettext_lazy as _

from ai_tasks import clock
from ai_tasks.errors import InvalidInput
from ai_tasks.ops.pages import fleet
from ai_tasks.ops.pages.desk import Page
from ai_tasks.pagination import page_by
from queueing import standing
from queueing.models import QueueEntry
from queueing.states import EntryState, Lane, ParkedReason, Priority

BY_TURN = ("lane", "priority", "fair_tag", "id")
"""The order of admission, as far as it is stored."""
SHOWN = "25"


class QueuesPage(Page):
    """`/admin/ops/queues/`"""

    needs = "queueing.view_queueentry"
    title = _("Queues")
    template = "queues.html"
    live_seconds = 5

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return every lane of every provider."""
        now = clock.now()
        stands = fleet.read(now)
        lanes = [(stand, lane) for stand in stands for lane in stand.lanes if lane.queue or lane.depth.total]
        return {"now": now, "lanes": lanes, "reasons": _reasons(stands)}


def _reasons(stands: list[fleet.Standing]) -> list[dict[str, Any]]:
    """Return how many entries of each provider are parked for each reason, the most first."""
    found = []
    for stand in stands:
        for reason in ParkedReason:
            number = sum(lane.depth.parked[reason] for lane in stand.lanes)
            if number:
                found.append({"stand": stand, "reason": reason, "count": number})
    return sorted(found, key=lambda row: -row["count"])


class QueuePage(Page):
    """`/admin/ops/queues/{provider}/`; `?state=`, `?lane=` and `?priority=` choose the entries that are listed."""

    needs = "queueing.view_queueentry"
    template = "queue.html"
    live_seconds = 5

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the provider's queue and one page of its entries."""
        slug, now = kwargs["provider"], clock.now()
        stand = next(iter(fleet.read(now, [slug])), None)
        if stand is None:
            raise Http404
        state = _among(request.GET.get("state"), EntryState.values) or EntryState.WAITING
        lane = _among(request.GET.get("lane"), Lane.values)
        word = _among(request.GET.get("priority"), [priority.word for priority in Priority])
        entries = QueueEntry.objects.of(slug, lane or None).filter(state=state)
        if word:
            entries = entries.filter(priority=Priority.from_word(word))
        keys = BY_TURN if state == EntryState.WAITING else ("id",)
        return {
            "title": _("Queue of %(provider)s") % {"provider": slug},
            "now": now,
            "stand": stand,
            "classes": standing.classes(slug),
            "states": EntryState.choices,
            "lanes": Lane.choices,
            "priorities": [(priority.word, priority.label) for priority in Priority],
            "state": state,
            "lane": lane,
            "priority": word,
            "is_by_turn": state == EntryState.WAITING,
            "is_first": "cursor" not in request.GET,
            **_page(entries, request, keys),
        }


def _page(entries: Any, request: HttpRequest, keys: tuple[str, ...]) -> dict[str, Any]:
    wanted = {"limit": SHOWN} | {name: request.GET[name] for name in ("cursor",) if name in request.GET}
    try:
        found = page_by(entries, wanted, list, *keys)
    except InvalidInput as error:
        raise Http404 from error
    return {"entries": found["data"], "next": found["next"]}


def _among(word: str | None, words: list[str]) -> str:
    return word if word in words else ""
