"""/v1/batches: each view checks a request and makes one domain call; ai_tasks.compat.batch_work does the rest."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks import clock
from ai_tasks.api.authentication import key_of, user_of
from ai_tasks.api.once import IDEMPOTENCY_KEY, create_once
from ai_tasks.api.problems import refuse
from ai_tasks.batches.models import Batch, BatchStatus, StoredFile
from ai_tasks.compat import batch_documents as documents
from ai_tasks.compat.batch_documents import WINDOW, BatchCreate
from ai_tasks.compat.lists import id_in, listed, stamp
from ai_tasks.compat.views import CompatView
from ai_tasks.errors import NotPossible

Json = dict[str, Any]
WINDOW_TIME = timedelta(hours=24)
DEFAULT_LISTED, MOST_LISTED = 20, 100


class Batches(CompatView):
    """`/v1/batches`"""

    @extend_schema(
        exclude=False,
        operation_id="listBatches",
        summary="List batches",
        tags=["batches"],
        parameters=[documents.limit(MOST_LISTED, DEFAULT_LISTED), documents.AFTER, documents.ORDER],
        responses={200: documents.BatchList, **documents.answers(400)},
    )
    def get(self, request: Request) -> Response:
        """Return the caller's batches, newest first."""
        found = Batch.objects.filter(owner=user_of(request))
        return Response(listed(request, found, shape, prefix="batch_", default=DEFAULT_LISTED, most=MOST_LISTED))

    @extend_schema(
        exclude=False,
        operation_id="createBatch",
        summary="Create a batch",
        tags=["batches"],
        parameters=[IDEMPOTENCY_KEY],
        request=BatchCreate,
        responses={200: documents.BatchDocument, **documents.answers(404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Note the batch; its file is read soon after."""
        wish = BatchCreate(data=request.data)
        wish.is_valid(raise_exception=True)

        @transaction.atomic
        def make() -> tuple[UUID, Batch]:
            batch = _make(request, wish.validated_data)
            return batch.pk, batch

        def find(batch_id: UUID) -> Batch | None:
            return Batch.objects.filter(pk=batch_id).first()

        batch, is_replayed = create_once(request, call="POST /v1/batches", make=make, find=find)
        return Response(shape(batch), headers={"Idempotency-Replayed": "true"} if is_replayed else {})


class OneBatch(CompatView):
    """`/v1/batches/{id}`"""

    @extend_schema(
        exclude=False,
        operation_id="getBatch",
        summary="Show a batch",
        tags=["batches"],
        responses={200: documents.BatchDocument, **documents.answers(404)},
    )
    def get(self, request: Request, batch_id: str) -> Response:
        """Return the batch as far as it is."""
        return Response(shape(find_batch(request, batch_id)))


class CancelBatch(CompatView):
    """`/v1/batches/{id}/cancel`"""

    @extend_schema(
        exclude=False,
        operation_id="cancelBatch",
        summary="Cancel a batch",
        tags=["batches"],
        request=None,
        responses={200: documents.BatchDocument, **documents.answers(404, 409)},
    )
    def post(self, request: Request, batch_id: str) -> Response:
        """Have it stopped, and what is done written into its files; again it is the same."""
        batch = find_batch(request, batch_id)
        has_moved = Batch.objects.cancel(batch.pk, clock.now())
        batch.refresh_from_db()
        if not has_moved and batch.status not in (BatchStatus.CANCELLING, BatchStatus.CANCELLED):
            raise NotPossible(f"A {batch.status} batch cannot be cancelled.")
        return Response(shape(batch))


def _make(request: Request, wish: Mapping[str, Any]) -> Batch:
    """Store the batch; its file, locked until then, is kept as long as it is read. Raises Refused with 404."""
    owner, now = user_of(request), clock.now()
    file_id = id_in(wish["input_file_id"], "file-")
    files = StoredFile.objects.there(now).filter(owner=owner, purpose=StoredFile.Purpose.BATCH)
    file = files.select_for_update().filter(pk=file_id).first() if file_id else None
    if file is None:
        raise refuse("not_found", f"There is no file {wish['input_file_id']!r} for a batch.")
    return Batch.objects.create(
        owner=owner,
        api_key=key_of(request),
        endpoint=wish["endpoint"],
        input_file_id=file.pk,
        metadata=wish.get("metadata") or {},
        output_expires_after_seconds=(wish.get("output_expires_after") or {}).get("seconds"),
        created_at=now,
        due_at=now,
        expires_at=now + WINDOW_TIME,
    )


def find_batch(request: Request, batch_id: str) -> Batch:
    """Return the caller's batch; raises Refused with 404."""
    key = id_in(batch_id, "batch_")
    found: Batch | None = Batch.objects.filter(pk=key, owner=user_of(request)).first() if key else None
    if found is None:
        raise refuse("not_found", f"There is no batch {batch_id[:80]!r}.")
    return found


def shape(batch: Batch) -> Json:
    """Return a batch as OpenAI's `batch`."""
    ended: Json = {f"{status}_at": None for status in ("completed", "failed", "expired", "cancelled")}
    if batch.finished_at:
        ended[f"{batch.status}_at"] = stamp(batch.finished_at)
    return {
        "id": f"batch_{batch.pk}",
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model or None,
        "errors": {"object": "list", "data": batch.errors} if batch.status == BatchStatus.FAILED else None,
        "input_file_id": f"file-{batch.input_file_id}",
        "completion_window": WINDOW,
        "status": batch.status,
        "output_file_id": _file_id(batch, batch.output_file_id),
        "error_file_id": _file_id(batch, batch.error_file_id),
        "created_at": stamp(batch.created_at),
        "in_progress_at": stamp(batch.in_progress_at),
        "expires_at": stamp(batch.expires_at),
        "finalizing_at": stamp(batch.finalizing_at),
        "cancelling_at": stamp(batch.cancelling_at),
        **ended,
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": _usage(batch.usage) if batch.finished_at and batch.usage else None,
        "metadata": batch.metadata,
    }


def _file_id(batch: Batch, file_id: UUID | None) -> str | None:
    return f"file-{file_id}" if file_id and batch.finished_at else None


def _usage(used: Json) -> Json:
    return {
        "input_tokens": used["input_tokens"],
        "input_tokens_details": {"cached_tokens": used["cached_input_tokens"]},
        "output_tokens": used["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": used["reasoning_tokens"]},
        "total_tokens": used["total_tokens"],
    }
