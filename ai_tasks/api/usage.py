"""Usage reports over HTTP: a caller's own, and everybody's for operators."""

from collections.abc import Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import clock, tables, usage
from ai_tasks.api import documents
from ai_tasks.api.authentication import HasScope, scopes_of, user_of
from ai_tasks.api.filters import wrong
from ai_tasks.api.parsers import UNSTORABLE
from ai_tasks.errors import InvalidInput, Mistake
from ai_tasks.usage import Question, TooMuch

USUAL_DAYS = 30
KNOWN = ("group_by", "since", "until", "time_zone", "user", "format", *usage.FILTERS)


class UsageReport(APIView):
    """`/usage`"""

    permission_classes = (HasScope,)
    scope = "tasks"

    @extend_schema(
        operation_id="getUsage",
        summary="Report tokens and cost",
        parameters=[
            OpenApiParameter(
                "group_by", str, description=f"Some of {', '.join(usage.GROUPS)}, with commas; usually day."
            ),
            OpenApiParameter("since", OpenApiTypes.DATE, description="First day; usually 30 days ago."),
            OpenApiParameter("until", OpenApiTypes.DATE, description="The day after the last; usually tomorrow."),
            OpenApiParameter("time_zone", str, description="Whose midnights part the days (IANA); usually UTC."),
            OpenApiParameter("user", str, enum=["me", "all"], description="`all` is for operators."),
            *(OpenApiParameter(name, str, description="Only of this.") for name in usage.FILTERS),
            OpenApiParameter("format", str, enum=["json", "csv"]),
        ],
        responses={
            (200, "application/json"): documents.UsageDocument,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            **documents.problem_answers(403, 422),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Return the sums of the ledger by group, and their total."""
        question = asked(request.query_params, _owner(request))
        try:
            lines, total = usage.report(question)
        except TooMuch as error:
            raise InvalidInput(str(error), errors=(Mistake("?since", "too much"),)) from error
        if request.query_params.get("format") == "csv":
            name = f"usage-{question.since}-{question.until}.csv"
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            return HttpResponse(tables.usage_csv(question.group_by, lines), content_type=tables.CSV, headers=headers)
        return Response(
            {
                "object": "usage",
                "since": question.since.isoformat(),
                "until": question.until.isoformat(),
                "time_zone": question.time_zone,
                "group_by": list(question.group_by),
                "data": [usage.shape(line) for line in lines],
                "total": usage.shape(total),
            }
        )


def asked(query: Mapping[str, str], owner_id: int | None) -> Question:
    """Return the question that a query's parameters ask; raises InvalidInput."""
    for name in query:
        if UNSTORABLE.search(name + query[name]):
            raise wrong(name, "holds NUL or a lone surrogate")
        if name not in KNOWN:
            raise wrong(name, "unknown parameter")
    zone = _zone(query.get("time_zone", "UTC"))
    today = clock.now().astimezone(zone).date()
    since, until = (
        _day(query, "since", today - timedelta(days=USUAL_DAYS)),
        _day(query, "until", today + timedelta(days=1)),
    )
    if until <= since:
        raise wrong("until", "not after since")
    if query.get("format", "json") not in ("json", "csv"):
        raise wrong("format", "neither json nor csv")
    only = tuple((name, query[name]) for name in usage.FILTERS if query.get(name))
    return Question(since, until, zone.key, _groups(query.get("group_by", "day")), owner_id, only)


def _owner(request: Request) -> int | None:
    whose = request.query_params.get("user", "me")
    if whose not in ("me", "all"):
        raise wrong("user", "neither me nor all")
    if whose == "me":
        return user_of(request).pk
    if not (user_of(request).is_staff and "operations" in scopes_of(request)):
        raise wrong("user", "all is for operators")
    return None


def _groups(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in usage.GROUPS]:
        raise wrong("group_by", f"{unknown[0][:60]!r} is none of {', '.join(usage.GROUPS)}")
    if len(set(names)) < len(names):
        raise wrong("group_by", "the same twice")
    return names


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise wrong("time_zone", "not the name of a time zone, as Asia/Tokyo") from error


def _day(query: Mapping[str, str], name: str, usual: date) -> date:
    try:
        found = date.fromisoformat(query[name]) if name in query else usual
    except ValueError as error:
        raise wrong(name, "not a day, as 2026-11-23") from error
    if not date(2000, 1, 1) <= found <= date(2200, 1, 1):
        raise wrong(name, "too far away")
    return found
