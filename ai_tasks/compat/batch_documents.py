"""The shapes of the wishes and answers of /v1/files and /v1/batches."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema_serializer
from rest_framework import serializers

from ai_tasks.api.documents import Document, always
from ai_tasks.api.fields import Metadata, StrictSerializer, Text, WholeNumber
from ai_tasks.batches.models import BatchStatus, StoredFile
from ai_tasks.compat.batch_lines import ENDPOINTS

WINDOW = "24h"
SHORTEST_SECONDS, LONGEST_SECONDS = 3_600, 2_592_000
"""Of `expires_after`, as OpenAI's."""


class ExpiresAfter(StrictSerializer):
    """How long a file is kept."""

    anchor = serializers.ChoiceField(choices=["created_at"])
    seconds = WholeNumber(min_value=SHORTEST_SECONDS, max_value=LONGEST_SECONDS)


class FileCreate(Document):
    """A form with a file."""

    file = serializers.FileField(help_text="JSON lines: a request on each.")
    purpose = serializers.ChoiceField(choices=[StoredFile.Purpose.BATCH.value])


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Chat completions",
            value={
                "input_file_id": "file-01a1b2c3-0000-7000-8000-000000000000",
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            },
            request_only=True,
        )
    ]
)
class BatchCreate(StrictSerializer):
    """A batch as its caller asks for it."""

    input_file_id = Text(max_length=100, help_text="Of a file that was uploaded with the purpose `batch`.")
    endpoint = serializers.ChoiceField(choices=list(ENDPOINTS))
    completion_window = serializers.ChoiceField(choices=[WINDOW])
    metadata = Metadata(required=False, allow_null=True)
    output_expires_after = ExpiresAfter(required=False, allow_null=True)


class FileDocument(Document):
    """A file."""

    object = always("file")
    id = serializers.CharField()
    bytes = serializers.IntegerField()
    created_at = serializers.IntegerField(help_text="Seconds since 1970, as every moment here.")
    expires_at = serializers.IntegerField(allow_null=True)
    filename = serializers.CharField()
    purpose = serializers.ChoiceField(choices=StoredFile.Purpose.values)
    status = always("processed")
    status_details = serializers.CharField(allow_null=True)


class FileDeleted(Document):
    """That a file is deleted."""

    object = always("file")
    id = serializers.CharField()
    deleted = serializers.BooleanField()


class PageOf(Document):
    """What lists of OpenAI's kind have."""

    object = always("list")
    first_id = serializers.CharField(allow_null=True)
    last_id = serializers.CharField(allow_null=True, help_text="Give it as `after` for what follows.")
    has_more = serializers.BooleanField()


class FileList(PageOf):
    """A page of files."""

    data = FileDocument(many=True)  # type: ignore[assignment]


class BatchError(Document):
    """What is wrong with a line, or with the file."""

    code = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)
    message = serializers.CharField()
    param = serializers.CharField(allow_null=True)


class BatchErrors(Document):
    """Why a batch failed."""

    object = always("list")
    data = BatchError(many=True)  # type: ignore[assignment]


class RequestCounts(Document):
    """How many requests a batch has, and how many of them have ended how."""

    total = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()


class InputTokensDetails(Document):
    """Of the input."""

    cached_tokens = serializers.IntegerField()


class OutputTokensDetails(Document):
    """Of the output."""

    reasoning_tokens = serializers.IntegerField()


class BatchUsage(Document):
    """What all requests used together."""

    input_tokens = serializers.IntegerField()
    input_tokens_details = InputTokensDetails()
    output_tokens = serializers.IntegerField()
    output_tokens_details = OutputTokensDetails()
    total_tokens = serializers.IntegerField()


def _moment() -> serializers.IntegerField:
    return serializers.IntegerField(allow_null=True)


class BatchDocument(Document):
    """A batch."""

    object = always("batch")
    id = serializers.CharField()
    endpoint = serializers.CharField()
    model = serializers.CharField(allow_null=True, help_text="What its first request names.")
    errors = BatchErrors(allow_null=True)  # type: ignore[assignment]
    input_file_id = serializers.CharField()
    completion_window = always(WINDOW)
    status = serializers.ChoiceField(choices=BatchStatus.values)
    output_file_id = serializers.CharField(allow_null=True)
    error_file_id = serializers.CharField(allow_null=True)
    created_at = serializers.IntegerField()
    in_progress_at = _moment()
    expires_at = serializers.IntegerField()
    finalizing_at = _moment()
    cancelling_at = _moment()
    completed_at = _moment()
    failed_at = _moment()
    expired_at = _moment()
    cancelled_at = _moment()
    request_counts = RequestCounts()
    usage = BatchUsage(allow_null=True)
    metadata = Metadata()


class BatchList(PageOf):
    """A page of batches, newest first."""

    data = BatchDocument(many=True)  # type: ignore[assignment]


class ErrorOfOpenAI(Document):
    """What is wrong."""

    message = serializers.CharField()
    type = serializers.CharField()
    param = serializers.CharField(allow_null=True)
    code = serializers.CharField()


class ErrorDocument(Document):
    """An error in OpenAI's shape."""

    error = ErrorOfOpenAI()


def answers(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Return the description of errors under these statuses."""
    return {(status, "application/json"): OpenApiResponse(ErrorDocument) for status in (401, 403, *statuses)}


AFTER = OpenApiParameter("after", OpenApiTypes.STR, description="The id behind which the page begins.")
ORDER = OpenApiParameter("order", {"type": "string", "enum": ["asc", "desc"]}, description="`desc`, if not given.")
PURPOSE = OpenApiParameter("purpose", OpenApiTypes.STR)


def limit(most: int, default: int) -> OpenApiParameter:
    """Return the description of a list's `limit`."""
    return OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": most, "default": default})
