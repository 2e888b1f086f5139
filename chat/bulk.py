"""Many sessions at once: chosen ones, or all that a search finds."""

from typing import Any

from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks.api.documents import problem_answers
from ai_tasks.errors import InvalidInput, Mistake
from chat import conversation, serializers
from chat.exports import FORMATS, as_attachment, as_json, as_markdown
from chat.managers import ChatSessionQuerySet
from chat.models import ChatSession
from chat.serializers import MOST_AT_ONCE
from chat.views import ID, SESSION_FILTERS, ChatView, narrowed

IDS = OpenApiParameter("ids", OpenApiTypes.STR, description="Ids of sessions, with commas between; otherwise all.")


class SessionBulk(ChatView):
    """`/chat/sessions/bulk`"""

    @extend_schema(
        operation_id="changeChatSessions",
        summary="Archive, take out or delete many chat sessions",
        request=serializers.BulkChange,
        responses={200: serializers.BulkDocument, **problem_answers(422)},
    )
    def post(self, request: Request) -> Response:
        """Do it to at most a thousand of the caller's sessions; those that cannot be changed are skipped."""
        wish = serializers.BulkChange(data=request.data)
        wish.is_valid(raise_exception=True)
        found = _chosen(request.user, **wish.chosen())
        sessions = list(found.newest_first()[: MOST_AT_ONCE + 1])
        changed = sum(conversation.change_one_of_many(each, wish.wish()) for each in sessions[:MOST_AT_ONCE])
        shown = min(len(sessions), MOST_AT_ONCE)
        return Response({"changed": changed, "skipped": shown - changed, "has_more": len(sessions) > shown})


class ChatExport(ChatView):
    """`/chat/export`"""

    @extend_schema(
        operation_id="exportChatSessions",
        summary="Export many chat sessions",
        parameters=[OpenApiParameter("as", OpenApiTypes.STR, enum=FORMATS, default="json"), IDS, *SESSION_FILTERS],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/markdown"): OpenApiTypes.STR,
            **problem_answers(422),
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Return at most a thousand of the caller's sessions as one file, last used first."""
        wanted = request.query_params.get("as", "json")
        if wanted not in FORMATS:
            raise InvalidInput("as is md or json.", errors=(Mistake("?as", "not md or json"),))
        ids = [each for each in request.query_params.get("ids", "").split(",") if each]
        found = narrowed(_chosen(request.user, ids=ids or None), request, also=("as", "ids"))
        sessions = found.newest_first()[:MOST_AT_ONCE]
        answer: HttpResponse
        if wanted == "json":
            document = {"object": "list", "data": [as_json(each) for each in sessions]}
            answer = JsonResponse(document, json_dumps_params={"ensure_ascii": False, "indent": 2})
        else:
            text = "\n---\n\n".join(as_markdown(each) for each in sessions)
            answer = HttpResponse(text, content_type="text/markdown; charset=utf-8")
        return as_attachment(answer, f"chats.{wanted}")


def _chosen(user: Any, *, ids: list[str] | None = None, q: str = "", state: str = "") -> ChatSessionQuerySet:
    """Return the user's sessions of these ids, or those that the search finds; ids of others find nothing."""
    found: ChatSessionQuerySet = ChatSession.objects.for_user(user)
    if ids is not None:
        return found.filter(pk__in=[each for each in ids[:MOST_AT_ONCE] if ID.fullmatch(each)])
    found = found.listed_as(state) if state else found
    return found.mentioning(q) if q else found
