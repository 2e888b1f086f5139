"""Conversations over HTTP: each view checks, makes one domain call, and shows the result."""

import re
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import clock
from ai_tasks.api.authentication import HasScope, key_of
from ai_tasks.api.documents import problem_answers
from ai_tasks.api.once import IDEMPOTENCY_KEY, create_once
from ai_tasks.api.parsers import UNSTORABLE
from ai_tasks.api.problems import refuse
from ai_tasks.errors import InvalidInput, Mistake
from ai_tasks.pagination import DEFAULT_LIMIT, MAX_LIMIT, page
from chat import conversation, serializers, usage
from chat.managers import ChatSessionQuerySet
from chat.models import ChatMessage, ChatSession
from chat.representation import message_json, session_json, sessions_json

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
LONGEST_SEARCH = 200

LIMIT = OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT})
CURSOR = OpenApiParameter("cursor", OpenApiTypes.STR, description="The `next` of the page before.")
SESSION_FILTERS = [
    OpenApiParameter("q", OpenApiTypes.STR, description="Words in the title or in a message."),
    OpenApiParameter("state", OpenApiTypes.STR, enum=serializers.LISTED),
    OpenApiParameter("item_type", OpenApiTypes.STR),
    OpenApiParameter("item_id", OpenApiTypes.STR, description="Together with `item_type`."),
]


class ChatView(APIView):
    """A view for whoever may chat."""

    permission_classes = [HasScope]
    scope = "chat"

    def session(self, request: Request, session_id: str) -> ChatSession:
        """Return the caller's session; anybody else's is as missing as one that never was."""
        found = find_own(request.user, session_id)
        if found is None:
            raise refuse("not_found", "There is no such session.")
        return found


def find_own(user: Any, session_id: str) -> ChatSession | None:
    """Return the user's session of that id, or None."""
    if not ID.fullmatch(session_id):
        return None
    found: ChatSession | None = ChatSession.objects.for_user(user).filter(pk=session_id).first()
    return found


class SessionCollection(ChatView):
    """`/chat/sessions`"""

    @extend_schema(
        operation_id="listChatSessions",
        summary="List chat sessions",
        parameters=[*SESSION_FILTERS, LIMIT, CURSOR],
        responses={200: serializers.SessionList, **problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return the caller's sessions, newest first."""
        sessions = narrowed(ChatSession.objects.for_user(request.user), request)
        return Response(page(sessions, request.query_params, sessions_json))

    @extend_schema(
        operation_id="createChatSession",
        summary="Start a chat session",
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.SessionCreate,
        responses={201: serializers.SessionDocument, **problem_answers(409, 422)},
    )
    def post(self, request: Request) -> Response:
        """Start a session; about one item there is at most one active one: 409."""
        wish = serializers.SessionCreate(data=request.data)
        wish.is_valid(raise_exception=True)

        owner = cast(User, request.user)

        def make() -> tuple[UUID, ChatSession]:
            session = conversation.start_session(owner, **wish.wishes())
            return session.pk, session

        def find(session_id: UUID) -> ChatSession | None:
            return find_own(owner, str(session_id))

        session, is_replayed = create_once(request, call="POST /chat/sessions", make=make, find=find)
        location = reverse("chat:session", kwargs={"session_id": str(session.pk)})
        return Response(session_json(session), 201, headers=_headers(location, is_replayed))


class SessionDetail(ChatView):
    """`/chat/sessions/{id}`"""

    @extend_schema(
        operation_id="getChatSession",
        summary="Get a chat session",
        responses={200: serializers.SessionDocument, **problem_answers(404)},
    )
    def get(self, request: Request, session_id: str) -> Response:
        """Return the session."""
        return Response(session_json(self.session(request, session_id)))

    @extend_schema(
        operation_id="changeChatSession",
        summary="Rename, archive or set up a chat session",
        request=serializers.SessionChange,
        responses={200: serializers.SessionDocument, **problem_answers(404, 409, 422)},
    )
    def patch(self, request: Request, session_id: str) -> Response:
        """Change what is given and return the session."""
        session = self.session(request, session_id)
        wish = serializers.SessionChange(data=request.data)
        wish.is_valid(raise_exception=True)
        return Response(session_json(conversation.change(session, **wish.validated_data)))

    @extend_schema(
        operation_id="deleteChatSession",
        summary="Delete a chat session",
        responses={204: None, **problem_answers(404)},
    )
    def delete(self, request: Request, session_id: str) -> Response:
        """Delete the session and stop what is being written in it."""
        conversation.delete(self.session(request, session_id))
        return Response(status=204)


class Month(ChatView):
    """`/chat/month`"""

    @extend_schema(
        operation_id="getChatMonth",
        summary="What one's chats used this month",
        responses={200: serializers.ChatMonthDocument, **problem_answers()},
    )
    def get(self, request: Request) -> Response:
        """Return tokens and cost of this month's chats, and how far the tightest budget is used."""
        return Response(usage.month_json(request.user, clock.now()))


class MessageCollection(ChatView):
    """`/chat/sessions/{id}/messages`"""

    @extend_schema(
        operation_id="listChatMessages",
        summary="List a session's messages",
        parameters=[LIMIT, CURSOR],
        responses={200: serializers.MessageList, **problem_answers(404, 422)},
    )
    def get(self, request: Request, session_id: str) -> Response:
        """Return the messages of all branches, newest first."""
        session = self.session(request, session_id)
        limit = _number(request, "limit", DEFAULT_LIMIT, MAX_LIMIT)
        before = _number(request, "cursor", None, 2**31 - 1)
        rows = list(ChatSession.objects.get_message_history(session, limit=(limit or DEFAULT_LIMIT) + 1, before=before))
        shown = rows[:limit]
        has_more = len(rows) > len(shown)
        following = str(shown[-1].number) if has_more else None
        data = [message_json(row) for row in shown]
        return Response({"object": "list", "data": data, "has_more": has_more, "next": following})

    @extend_schema(
        operation_id="sendChatMessage",
        summary="Send a message",
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.MessageCreate,
        responses={202: serializers.SentDocument, **problem_answers(402, 404, 409, 422, 429)},
    )
    def post(self, request: Request, session_id: str) -> Response:
        """Accept a message; its reply is being written from here on, whatever happens."""
        session = self.session(request, session_id)
        wish = serializers.MessageCreate(data=request.data)
        wish.is_valid(raise_exception=True)
        key = key_of(request)
        values = {**wish.validated_data, "api_key_id": key.pk if key else None}
        if parent_id := values.pop("parent_id", None):
            values["after"] = _parent(session, parent_id)

        def make() -> tuple[UUID, tuple[ChatMessage, ChatMessage]]:
            sent = conversation.send_message(session, **values)
            return sent[0].pk, sent

        def find(message_id: UUID) -> tuple[ChatMessage, ChatMessage]:
            message = session.messages.get(pk=message_id)
            return message, message.children.order_by("number")[0]

        call = f"POST /chat/sessions/{session.pk}/messages"
        (message, reply), is_replayed = create_once(request, call=call, make=make, find=find)
        body = {"message": message_json(message), "reply": message_json(reply)}
        return Response(body, 202, headers=_headers(reverse("chat:messages", args=[session_id]), is_replayed))


def _headers(location: str, is_replayed: bool) -> dict[str, str]:
    return {"Location": location} | ({"Idempotency-Replayed": "true"} if is_replayed else {})


def _parent(session: ChatSession, message_id: UUID) -> ChatMessage:
    parent = session.messages.filter(pk=message_id).first()
    if parent is None:
        mistake = Mistake("/parent_id", "no message of this session")
        raise InvalidInput("The message that this one follows is not in this session.", errors=(mistake,))
    return parent


def narrowed(sessions: Any, request: Request, *, also: Sequence[str] = ("limit", "cursor")) -> ChatSessionQuerySet:
    """Return the sessions that the query's parameters leave; raises InvalidInput, also for unknown parameters."""
    known = {*(parameter.name for parameter in SESSION_FILTERS), *also}
    query: dict[str, str] = request.query_params.dict()
    for name, value in query.items():
        if name not in known or UNSTORABLE.search(value) or len(value) > LONGEST_SEARCH:
            shown = UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", name[:100])
            raise InvalidInput("A parameter is wrong.", errors=(Mistake(f"?{shown}", "unknown, or not such a value"),))
    if state := query.get("state"):
        sessions = sessions.listed_as(state)
    if item_type := query.get("item_type"):
        sessions = sessions.about(item_type, query.get("item_id", ""))
    found: ChatSessionQuerySet = sessions.mentioning(query["q"]) if query.get("q") else sessions
    return found


def _number(request: Request, name: str, default: int | None, most: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= most):
        raise InvalidInput(f"{name} is wrong.", errors=(Mistake(f"?{name}", f"not a number from 1 to {most}"),))
    return int(text)
