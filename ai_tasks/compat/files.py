"""/v1/files: what goes into batches and what comes out of them."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks import clock
from ai_tasks.api.authentication import user_of
from ai_tasks.api.once import IDEMPOTENCY_KEY, create_once
from ai_tasks.api.problems import Refused, refuse
from ai_tasks.api.streams import stands_for
from ai_tasks.batches import content
from ai_tasks.batches.models import StoredFile
from ai_tasks.compat import batch_documents as documents
from ai_tasks.compat import uploads
from ai_tasks.compat.lists import id_in, listed, stamp
from ai_tasks.compat.views import CompatView
from ai_tasks.delivery import in_thread

Json = dict[str, Any]
MOST_LISTED = 10_000


class Files(CompatView):
    """`/v1/files`"""

    parser_classes = (MultiPartParser,)

    @extend_schema(
        exclude=False,
        operation_id="listFiles",
        summary="List files",
        tags=["files"],
        parameters=[
            documents.PURPOSE,
            documents.limit(MOST_LISTED, MOST_LISTED),
            documents.AFTER,
            documents.ORDER,
        ],
        responses={200: documents.FileList, **documents.answers(400)},
    )
    def get(self, request: Request) -> Response:
        """Return the caller's files, newest first unless `order=asc`."""
        found = _there(request)
        if purpose := request.query_params.get("purpose"):
            found = found.filter(purpose=purpose) if purpose in StoredFile.Purpose else found.none()
        return Response(listed(request, found, shape, prefix="file-", default=MOST_LISTED, most=MOST_LISTED))

    @extend_schema(
        exclude=False,
        operation_id="uploadFile",
        summary="Upload a file of requests",
        tags=["files"],
        parameters=[IDEMPOTENCY_KEY],
        request={"multipart/form-data": documents.FileCreate},
        responses={200: documents.FileDocument, **documents.answers(404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Keep the file; it is written in blocks, and seen when all of it is there."""
        file, body = uploads.received(request, now := clock.now())

        @transaction.atomic
        def make() -> tuple[UUID, StoredFile]:
            StoredFile.objects.filter(pk=file.pk).update(is_whole=True)
            return file.pk, file

        def find(file_id: UUID) -> StoredFile | None:
            return StoredFile.objects.there(now).filter(pk=file_id).first()

        made = None
        try:
            made, is_replayed = create_once(request, call="POST /v1/files", make=make, find=find, body=body)
        finally:
            if made is not file:
                file.delete()
        return Response(shape(made), headers={"Idempotency-Replayed": "true"} if is_replayed else {})


class File(CompatView):
    """`/v1/files/{id}`"""

    @extend_schema(
        exclude=False,
        operation_id="getFile",
        summary="Describe a file",
        tags=["files"],
        responses={200: documents.FileDocument, **documents.answers(404)},
    )
    def get(self, request: Request, file_id: str) -> Response:
        """Return the file's description."""
        return Response(shape(find_file(request, file_id)))

    @extend_schema(
        exclude=False,
        operation_id="deleteFile",
        summary="Delete a file",
        tags=["files"],
        responses={200: documents.FileDeleted, **documents.answers(404)},
    )
    def delete(self, request: Request, file_id: str) -> Response:
        """Delete it; a batch that reads it goes on."""
        file = find_file(request, file_id)
        if not StoredFile.objects.filter(pk=file.pk, deleted_at=None).update(deleted_at=clock.now()):
            raise _missing(file_id)
        return Response({"id": file_id, "object": "file", "deleted": True})


class FileContent(CompatView):
    """`/v1/files/{id}/content`"""

    @extend_schema(
        exclude=False,
        operation_id="getFileContent",
        summary="Download a file",
        tags=["files"],
        responses={(200, "application/jsonl"): OpenApiTypes.BINARY, **documents.answers(404)},
    )
    def get(self, request: Request, file_id: str) -> Response:
        """Return, as 202, which file is to be sent."""
        file = find_file(request, file_id)
        return Response({"id": file.pk, "name": file.name, "size_bytes": file.size_bytes}, 202)


_content = FileContent.as_view()


@stands_for(FileContent)
async def file_content(request: HttpRequest, file_id: str) -> HttpResponseBase:
    """Send the file's bytes, a block in memory at a time."""
    found: Any = await in_thread(_content, request, file_id=file_id)
    if found.status_code != 202:
        refusal: HttpResponseBase = found
        return refusal
    headers = {
        "Content-Length": str(found.data["size_bytes"]),
        "Content-Disposition": content_disposition_header(True, found.data["name"]) or "attachment",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    return StreamingHttpResponse(_blocks(found.data["id"]), content_type="application/jsonl", headers=headers)


async def _blocks(file_id: UUID) -> AsyncIterator[bytes]:
    offset = 0
    while piece := await in_thread(_piece, file_id, offset):
        yield piece
        offset += len(piece)


def _piece(file_id: UUID, offset: int) -> bytes:
    start, data = content.block_at(file_id, offset)
    return data[offset - start :]


def shape(file: StoredFile) -> Json:
    """Return a file as OpenAI's `file`."""
    return {
        "id": f"file-{file.pk}",
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": stamp(file.created_at),
        "expires_at": stamp(file.expires_at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def find_file(request: Request, file_id: str) -> StoredFile:
    """Return the caller's file; raises Refused with 404."""
    found = _there(request).filter(pk=pk).first() if (pk := id_in(file_id, "file-")) else None
    if found is None:
        raise _missing(file_id)
    return found


def _there(request: Request) -> Any:
    return StoredFile.objects.there(clock.now()).filter(owner=user_of(request))


def _missing(file_id: str) -> Refused:
    return refuse("not_found", f"There is no file {file_id[:80]!r}.")
