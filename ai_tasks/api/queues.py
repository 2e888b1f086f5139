"""Queues, for operators."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks import clock
from ai_tasks.api import operator_documents as documents
from ai_tasks.api.documents import problem_answers
from ai_tasks.api.fields import Moment, StrictSerializer, Text
from ai_tasks.api.operators import PAGING, OperatorView, Reason, known
from ai_tasks.api.serializers import PRINTABLE, PriorityWord
from ai_tasks.errors import InvalidInput, Mistake
from ai_tasks.ops import audit, queues
from ai_tasks.oversight.actions import Action
from ai_tasks.pagination import page_by, whole
from ai_tasks.representation import moment
from providers import routing
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState, Lane, Priority

BY_TURN = ("lane", "priority", "fair_tag", "id")
"""The order of admission, as far as it is stored."""
MOST_REORDERED = 1_000

ENTRY_STATE = OpenApiParameter("state", {"type": "string", "enum": EntryState.values, "default": "waiting"})
LANE = OpenApiParameter("lane", {"type": "string", "enum": Lane.values})


class QueueCollection(OperatorView):
    """`/queues`"""

    @extend_schema(
        operation_id="listQueues",
        summary="List queues with their counts",
        responses={200: documents.QueueList, **problem_answers()},
    )
    def get(self, request: Request) -> Response:
        """Return every configured provider's queue, its lanes together."""
        now = clock.now()
        return Response(whole([_queue(slug, now) for slug in routing.slugs()]))


def _queue(slug: str, now: datetime, lane: str | None = None) -> dict[str, Any]:
    rows = list(TaskQueue.objects.filter(provider=slug, **({"lane": lane} if lane else {})))
    paused = next((row for row in rows if row.is_paused(now)), None)
    return {
        "object": "queue",
        "provider": slug,
        "is_paused": paused is not None,
        "paused_until": moment(paused.paused_until) if paused else None,
        "pause_reason": paused.pause_reason if paused else "",
        **TaskQueue.objects.get_queue_stats(slug, lane=lane, now=now),
    }


def _detail(slug: str) -> dict[str, Any]:
    now = clock.now()
    lanes = []
    for lane in Lane.values:
        row = TaskQueue.objects.queue(slug, lane)
        marks = {"lane": lane, "soft_mark": row.soft_mark, "hard_mark": row.hard_mark}
        lanes.append(_queue(slug, now, lane) | marks)
    return _queue(slug, now) | {"lanes": lanes}


class QueueDetail(OperatorView):
    """`/queues/{provider}`"""

    @extend_schema(
        operation_id="getQueue",
        summary="Get a provider's queue and its lanes",
        responses={200: documents.QueueDetailDocument, **problem_answers(404)},
    )
    def get(self, request: Request, provider: str) -> Response:
        """Return the queue."""
        return Response(_detail(known(provider)))


class QueueEntries(OperatorView):
    """`/queues/{provider}/entries`"""

    @extend_schema(
        operation_id="listQueueEntries",
        summary="List a provider's live entries",
        parameters=[ENTRY_STATE, LANE, *PAGING],
        responses={200: documents.EntryList, **problem_answers(404, 422)},
    )
    def get(self, request: Request, provider: str) -> Response:
        """Return the entries of one state: waiting ones class by class as they will be taken, others oldest first."""
        query = request.query_params
        if unknown := sorted(set(query) - {"state", "lane", "limit", "cursor"}):
            raise _wrong(unknown[0][:100], "unknown parameter")
        state, lane = query.get("state", EntryState.WAITING.value), query.get("lane")
        if state not in EntryState.values:
            raise _wrong("state", f"not among {', '.join(EntryState.values)}")
        if lane is not None and lane not in Lane.values:
            raise _wrong("lane", f"not among {', '.join(Lane.values)}")
        entries = QueueEntry.objects.of(known(provider), lane).filter(state=state)
        keys = BY_TURN if state == EntryState.WAITING else ("id",)
        return Response(page_by(entries, query, lambda rows: [_entry(row) for row in rows], *keys))


def _wrong(name: str, detail: str) -> InvalidInput:
    shown = name.encode("utf-8", "replace").decode()
    return InvalidInput(f"The parameter {shown} is wrong: {detail}.", errors=(Mistake(f"?{shown}", detail),))


def _entry(entry: QueueEntry) -> dict[str, Any]:
    return {
        "object": "queue_entry",
        "task_id": str(entry.task_id),
        "task_type": entry.task_type,
        "owner_id": entry.owner_key,
        "provider": entry.provider,
        "model": entry.model,
        "lane": entry.lane,
        "priority": Priority(entry.priority).word,
        "state": entry.state,
        "parked_reason": entry.parked_reason or None,
        **{name: moment(getattr(entry, name)) for name in ("parked_until", "leased_until", "cancel_requested_at")},
        **{name: moment(getattr(entry, name)) for name in ("deadline_at", "enqueued_at")},
    }


class PauseWish(StrictSerializer):
    """Why, and for how long."""

    reason = Text(max_length=audit.REASON_LENGTH, validators=[PRINTABLE])
    until = Moment(required=False, allow_null=True, help_text="When it ends by itself; else at `/resume`.")


class QueuePause(OperatorView):
    """`/queues/{provider}/pause`"""

    does = Action.PAUSE_PROVIDER

    @extend_schema(
        operation_id="pauseQueue",
        summary="Pause a provider",
        request=PauseWish,
        responses={200: documents.QueueDetailDocument, **problem_answers(404, 422)},
    )
    def post(self, request: Request, provider: str) -> Response:
        """Stop admission and starts; what runs goes on, what comes waits."""
        wish = PauseWish(data=request.data)
        wish.is_valid(raise_exception=True)
        until = wish.validated_data.get("until")
        if until is not None and until <= clock.now():
            raise InvalidInput("That time is over.", errors=(Mistake("/until", "in the past"),))
        reason = wish.validated_data["reason"]
        queues.pause_provider(known(provider), audit.by_request(request, reason), until=until)
        return Response(_detail(provider))


class QueueResume(OperatorView):
    """`/queues/{provider}/resume`"""

    does = Action.RESUME_PROVIDER

    @extend_schema(
        operation_id="resumeQueue",
        summary="Let a paused provider go on",
        request=None,
        responses={200: documents.QueueDetailDocument, **problem_answers(404)},
    )
    def post(self, request: Request, provider: str) -> Response:
        """Let it go on; one that is not paused stays as it is."""
        queues.resume_provider(known(provider), audit.by_request(request))
        return Response(_detail(provider))


class ReorderWish(StrictSerializer):
    """Which tasks get which priority; nothing: the whole order anew."""

    task_ids = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MOST_REORDERED, required=False
    )
    priority = PriorityWord(required=False)
    reason = Reason()

    def validate(self, attrs: Any) -> Any:
        """Refuse half a wish."""
        if ("task_ids" in attrs) != ("priority" in attrs):
            raise serializers.ValidationError("Give task_ids and priority, or neither.")
        return attrs


class QueueReorder(OperatorView):
    """`/queues/{provider}/reorder`"""

    does = Action.REPRIORITISE

    @extend_schema(
        operation_id="reorderQueue",
        summary="Change the order of a queue",
        request=ReorderWish,
        responses={200: documents.ReorderDocument, **problem_answers(404, 422)},
    )
    def post(self, request: Request, provider: str) -> Response:
        """Give waiting tasks another priority, or derive the whole order anew."""
        wish = ReorderWish(data=request.data)
        wish.is_valid(raise_exception=True)
        given = wish.validated_data
        by = audit.by_request(request, given["reason"])
        if "task_ids" in given:
            moved = queues.reprioritise(given["task_ids"], given["priority"], by, provider=known(provider))
        else:
            moved = queues.reorder_queue(known(provider), by)
        return Response({"object": "reorder", "provider": provider, "moved": moved})
