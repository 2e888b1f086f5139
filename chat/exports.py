"""A conversation to take away: Markdown of its newest branch, or JSON of everything."""

from typing import Any

from django.http import HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from ai_tasks.api.documents import problem_answers
from ai_tasks.errors import InvalidInput, Mistake
from chat.models import ChatMessage, ChatSession
from chat.representation import message_json, session_json
from chat.states import MessageRole
from chat.views import ChatView

FORMATS = ("md", "json")


def as_json(session: ChatSession) -> dict[str, Any]:
    """Return the session with the messages of all branches, in order."""
    messages = [message_json(message) for message in session.messages.order_by("number")]
    return session_json(session) | {"messages": messages}


def as_markdown(session: ChatSession) -> str:
    """Return the newest branch as a document."""
    parts = [f"# {session.title}"] if session.title else []
    for message in newest_branch(session):
        speaker = "User" if message.role == MessageRole.USER else message.answered_by or "Assistant"
        files = "".join(f"Attached: {file['name']}\n\n" for file in message.attachments)
        parts.append(f"## {speaker}\n\n{files}{message.content}".rstrip())
    return "\n\n".join(parts) + "\n"


def newest_branch(session: ChatSession) -> list[ChatMessage]:
    """Return the messages from the first to the newest, each the parent of the next."""
    by_id = {message.pk: message for message in session.messages.order_by("number")}
    branch: list[ChatMessage] = []
    message = max(by_id.values(), key=lambda each: each.number, default=None)
    while message is not None:
        branch.append(message)
        message = by_id.get(message.parent_id) if message.parent_id else None
    return branch[::-1]


class SessionExport(ChatView):
    """`/chat/sessions/{id}/export`"""

    @extend_schema(
        operation_id="exportChatSession",
        summary="Export a chat session",
        parameters=[OpenApiParameter("as", OpenApiTypes.STR, enum=FORMATS, default="md")],
        responses={
            (200, "text/markdown"): OpenApiTypes.STR,
            (200, "application/json"): OpenApiTypes.OBJECT,
            **problem_answers(404, 422),
        },
    )
    def get(self, request: Request, session_id: str) -> HttpResponseBase:
        """Return the conversation as a file."""
        session = self.session(request, session_id)
        wanted = request.query_params.get("as", "md")
        if wanted not in FORMATS:
            raise InvalidInput("as is md or json.", errors=(Mistake("?as", "not md or json"),))
        response: HttpResponse
        if wanted == "json":
            response = JsonResponse(as_json(session), json_dumps_params={"ensure_ascii": False, "indent": 2})
        else:
            response = HttpResponse(as_markdown(session), content_type="text/markdown; charset=utf-8")
        return as_attachment(response, f"chat-{session.pk}.{wanted}")


def as_attachment(answer: HttpResponse, name: str) -> HttpResponse:
    """Return the answer as a file of that name."""
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
