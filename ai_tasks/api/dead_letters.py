"""Dead letters, for operators: look, group, discard, redrive one edited."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks import clock
from ai_tasks.api import operator_documents as documents
from ai_tasks.api.documents import TaskDocument, problem_answers
from ai_tasks.api.fields import Flag, Metadata, StrictSerializer, Text, Usd, WholeNumber
from ai_tasks.api.once import IDEMPOTENCY_KEY, create_once
from ai_tasks.api.operators import PAGING, OperatorView
from ai_tasks.api.problems import refuse
from ai_tasks.api.serializers import DAY_SECONDS, PRINTABLE, PriorityWord, TaskInput
from ai_tasks.api.views import TASK_ID
from ai_tasks.errors import InvalidInput, Mistake
from ai_tasks.models import AIGenerationTask
from ai_tasks.ops import audit, letters
from ai_tasks.oversight.actions import Action
from ai_tasks.pagination import page, page_by
from ai_tasks.representation import moment, task_json
from queueing.dead_letters import filters
from queueing.errors import BadFilter
from queueing.models import DeadLetter, TaskQueue

SPAN = "ISO 8601 with its offset; `created_after` is included, `created_before` is not."
FILTERS = [
    *(OpenApiParameter(name, str, many=True, explode=True) for name in (*filters.IDS, *filters.WORDS)),
    *(OpenApiParameter(name, OpenApiTypes.DATETIME, description=SPAN) for name in filters.TIMES),
]


def refusal(error: BadFilter, place: str) -> InvalidInput:
    """Return what the caller is told of a filter: `place` is its name's, with `{}` for it."""
    name = error.name[:100].encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return InvalidInput(f"The filter {name} is wrong.", errors=(Mistake(place.format(name), error.detail),))


def filters_of(request: Request) -> dict[str, Any]:
    """Return the checked filters of a query; of a time the last one counts. Raises InvalidInput."""
    query = request.query_params
    given = {name: query.getlist(name) for name in query if name not in ("limit", "cursor")}
    moments = {name: values[-1] for name, values in given.items() if name in filters.TIMES}
    try:
        return filters.checked(given | moments)
    except BadFilter as error:
        raise refusal(error, "?{}") from error


class DeadLetterView(OperatorView):
    """A view of dead letters."""

    does = Action.REDRIVE


def find(letter_id: str) -> DeadLetter:
    """Return the letter of that id, or refuse with 404."""
    found = DeadLetter.objects.filter(pk=letter_id).first() if TASK_ID.fullmatch(letter_id) else None
    if found is None:
        raise refuse("not_found", "There is no such dead letter.")
    return found


class DeadLetterCollection(DeadLetterView):
    """`/dead-letters`"""

    @extend_schema(
        operation_id="listDeadLetters",
        summary="List dead letters",
        parameters=[*FILTERS, *PAGING],
        responses={200: documents.DeadLetterList, **problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return letters, newest first: the open ones, unless `resolution` says otherwise."""
        return Response(page(TaskQueue.objects.get_dlq_items(filters_of(request)), request.query_params, letters_json))


class DeadLetterGroups(DeadLetterView):
    """`/dead-letters/groups`"""

    @extend_schema(
        operation_id="listDeadLetterGroups",
        summary="Count dead letters by provider, error class and fingerprint",
        parameters=[*FILTERS, *PAGING],
        responses={200: documents.LetterGroupList, **problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return the groups, largest first, with their letters of the last hour, day and week and the newest one."""
        found = TaskQueue.objects.get_dlq_groups(filters_of(request), now=clock.now())
        keys = ("-count", "provider", "error_class", "fingerprint")
        return Response(page_by(found, request.query_params, groups_json, *keys))


class DeadLetterDetail(DeadLetterView):
    """`/dead-letters/{id}`"""

    @extend_schema(
        operation_id="getDeadLetter",
        summary="Get a dead letter",
        responses={200: documents.DeadLetterDocument, **problem_answers(404)},
    )
    def get(self, request: Request, letter_id: str) -> Response:
        """Return the letter."""
        return Response(letters_json([find(letter_id)])[0])


@extend_schema_field({"type": "object", "description": "As the parameters of `GET /dead-letters`; {} is every one."})
class FilterField(serializers.JSONField):
    """Filters by name; queueing checks them."""


class Choice(StrictSerializer):
    """Which open letters: by a filter or by ids."""

    filter = FilterField(required=False)
    ids = serializers.ListField(
        child=Text(max_length=36), required=False, help_text="Ids of letters or of their tasks, 1,000 at most."
    )

    def validate(self, attrs: Any) -> Any:
        """Refuse neither and both: nothing given by mistake must not mean everything."""
        if ("filter" in attrs) == ("ids" in attrs):
            raise serializers.ValidationError("Give filter or ids; the filter {} is every open letter.")
        if not isinstance(attrs.get("filter", {}), dict):
            raise serializers.ValidationError({"filter": ["Not an object."]})
        return attrs

    def chosen(self) -> dict[str, Any]:
        """Return the validated choice as checked filters; raises InvalidInput."""
        by_ids = "ids" in self.validated_data
        try:
            given = {"ids": self.validated_data["ids"]} if by_ids else self.validated_data["filter"]
            return TaskQueue.objects.open_only(given)
        except BadFilter as error:
            raise refusal(error, "/ids" if by_ids else "/filter/{}") from error


class DiscardWish(Choice):
    """What to discard, and why."""

    reason = Text(max_length=200, validators=[PRINTABLE])
    dry_run = Flag(required=False, default=False)


class DeadLetterDiscard(DeadLetterView):
    """`/dead-letters/discard`"""

    does = Action.DISCARD

    @extend_schema(
        operation_id="discardDeadLetters",
        summary="Discard dead letters",
        request=DiscardWish,
        responses={200: documents.DiscardDocument, **problem_answers(422)},
    )
    def post(self, request: Request) -> Response:
        """Mark open letters as discarded; their tasks stay as they ended. With `dry_run` only count them."""
        wish = DiscardWish(data=request.data)
        wish.is_valid(raise_exception=True)
        chosen, reason = wish.chosen(), wish.validated_data["reason"]
        if wish.validated_data["dry_run"]:
            count = TaskQueue.objects.get_dlq_items(chosen).count()
        else:
            count = letters.discard(chosen, audit.by_request(request, reason))
        return Response({"object": "discard", "dry_run": wish.validated_data["dry_run"], "count": count})


class Changes(StrictSerializer):
    """What the copy has otherwise."""

    input = TaskInput(required=False)
    model = Text(max_length=160, required=False)
    priority = PriorityWord(required=False)
    deadline_seconds = WholeNumber(min_value=1, max_value=30 * DAY_SECONDS, required=False)
    max_cost_usd = Usd(required=False)
    metadata = Metadata(required=False)
    reason = Text(max_length=200, validators=[PRINTABLE], required=False, default="")


class DeadLetterRedrive(DeadLetterView):
    """`/dead-letters/{id}/redrive`"""

    does = Action.EDIT_REDRIVE

    @extend_schema(
        operation_id="redriveEdited",
        summary="Redrive a changed copy of a dead task",
        parameters=[IDEMPOTENCY_KEY],
        request=Changes,
        responses={202: TaskDocument, **problem_answers(402, 404, 409, 422, 429)},
    )
    def post(self, request: Request, letter_id: str) -> Response:
        """Make a new task, changed as the body says, which names the old one."""
        letter, wish = find(letter_id), Changes(data=request.data)
        wish.is_valid(raise_exception=True)
        changes = dict(wish.validated_data)
        reason = changes.pop("reason")

        def make() -> tuple[UUID, AIGenerationTask]:
            copy = letters.redrive_edited(letter, changes, audit.by_request(request, reason))
            return copy.pk, copy

        call = f"POST /dead-letters/{letter.pk}/redrive"
        copy, is_replayed = create_once(request, call=call, make=make, find=AIGenerationTask.objects.find_by_id)
        headers = {"Location": reverse("api:task", kwargs={"task_id": str(copy.pk)})}
        return Response(task_json(copy), 202, headers=headers | replayed(is_replayed))


def replayed(is_replayed: bool) -> dict[str, str]:
    """Return the header that tells that the object was there already."""
    return {"Idempotency-Replayed": "true"} if is_replayed else {}


def letters_json(letters: Iterable[DeadLetter]) -> list[dict[str, Any]]:
    """Return the letters' shapes, in their order."""
    return [_letter(letter) for letter in letters]


def _letter(letter: DeadLetter) -> dict[str, Any]:
    plain = ("task_type", "provider", "model", "lane", "reason", "fingerprint", "attempts", "resolution")
    done = {"id": str(letter.redrive_id), "outcome": letter.redrive_outcome, "detail": letter.redrive_detail}
    return {
        "object": "dead_letter",
        "id": str(letter.pk),
        "task_id": str(letter.task_id),
        "owner_id": letter.owner_key,
        "error": {"code": letter.error_class, "message": letter.message},
        **{name: getattr(letter, name) for name in (*plain, "resolved_by", "resolution_reason")},
        "resolved_at": moment(letter.resolved_at),
        "new_task_id": str(letter.new_task_id) if letter.new_task_id else None,
        "redrive": done if letter.redrive_id else None,
        "created_at": moment(letter.created_at),
    }


def groups_json(groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups' shapes, each with its newest letter."""
    rows = list(groups)
    newest = DeadLetter.objects.in_bulk([UUID(row["example"]) for row in rows])
    # One that was pruned in between has no example any more: it is left out.
    return [
        {
            "object": "dead_letter_group",
            **row,
            "first_at": moment(row["first_at"]),
            "last_at": moment(row["last_at"]),
            "example": _letter(newest[UUID(row["example"])]),
        }
        for row in rows
        if UUID(row["example"]) in newest
    ]
