"""Files of a conversation over HTTP."""

from typing import IO, Any
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks.api.documents import problem_answers
from ai_tasks.api.parsers import UNSTORABLE, too_large
from ai_tasks.api.problems import refuse
from ai_tasks.errors import InvalidInput, Mistake, NotPossible
from chat import attaching, serializers
from chat.attachments import LARGEST_IMAGE_BYTES, PLAIN
from chat.models import ChatAttachment
from chat.states import AttachmentKind
from chat.views import ID, ChatView

LONGEST_GIVEN_NAME = 1_000
NAME = OpenApiParameter("name", OpenApiTypes.STR, description="The file's name.")


class RawParser(BaseParser):
    """Takes a body of any type as it is, up to the largest picture."""

    media_type = "*/*"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> dict[str, bytes]:
        """Return the bytes as `body`; raises Refused with 413."""
        body = stream.read(LARGEST_IMAGE_BYTES + 1)
        if len(body) > LARGEST_IMAGE_BYTES:
            raise too_large(LARGEST_IMAGE_BYTES)
        return {"body": body}


class AttachmentCollection(ChatView):
    """`/chat/sessions/{id}/attachments`"""

    parser_classes = [RawParser]

    @extend_schema(
        operation_id="uploadChatAttachment",
        summary="Upload a picture or text",
        parameters=[NAME],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={201: serializers.AttachmentDocument, **problem_answers(404, 409, 422)},
    )
    def post(self, request: Request, session_id: str) -> Response:
        """Keep the body, to be sent with a message. What it is, is read from its bytes. Unsent it is kept for a day."""
        session = self.session(request, session_id)
        name = request.query_params.get("name", "")
        if UNSTORABLE.search(name) or len(name) > LONGEST_GIVEN_NAME:
            raise InvalidInput("The name cannot be used.", errors=(Mistake("?name", "too long, or not storable"),))
        file = attaching.attach(session, name, _body_of(request))
        location = reverse("chat:attachment", args=[session_id, file.pk])
        return Response(attaching.shape(file), 201, headers={"Location": location})


class AttachmentDetail(ChatView):
    """`/chat/sessions/{id}/attachments/{id}`"""

    def file(self, request: Request, session_id: str, attachment_id: str) -> ChatAttachment:
        """Return the caller's file; anybody else's is as missing as one that never was."""
        session = self.session(request, session_id)
        found = session.attachments.filter(pk=UUID(attachment_id)).first() if ID.fullmatch(attachment_id) else None
        if found is None:
            raise refuse("not_found", "There is no such file in this session.")
        return found

    @extend_schema(
        operation_id="getChatAttachment",
        summary="Download a picture or text",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, **problem_answers(404)},
    )
    def get(self, request: Request, session_id: str, attachment_id: str) -> HttpResponseBase:
        """Return the file; nothing in it can run, whatever it says of itself."""
        file = self.file(request, session_id, attachment_id)
        is_text = file.kind == AttachmentKind.TEXT
        content_type = f"{PLAIN}; charset=utf-8" if is_text else file.media_type
        response = HttpResponse(bytes(file.data), content_type=content_type)
        response["Content-Disposition"] = content_disposition_header(is_text, file.name) or "inline"
        response["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response["X-Content-Type-Options"] = "nosniff"
        response["Cross-Origin-Resource-Policy"] = "same-origin"
        response["Cache-Control"] = "private, max-age=3600"
        return response

    @extend_schema(
        operation_id="deleteChatAttachment",
        summary="Remove a file that was not sent",
        responses={204: None, **problem_answers(404, 409)},
    )
    def delete(self, request: Request, session_id: str, attachment_id: str) -> Response:
        """Forget the file; one that was sent stays with its message: 409."""
        if not attaching.detach(self.file(request, session_id, attachment_id)):
            raise NotPossible("This file was sent; it goes when the session is deleted.")
        return Response(status=204)


def _body_of(request: Request) -> bytes:
    """Return the bytes; REST framework does not parse an empty body."""
    data: Any = request.data
    return bytes(data.get("body", b""))
