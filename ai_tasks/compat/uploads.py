"""The form of POST /v1/files."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Sum
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from ai_tasks.api.authentication import user_of
from ai_tasks.api.parsers import too_large
from ai_tasks.api.problems import refuse
from ai_tasks.batches import content
from ai_tasks.batches.models import StoredFile
from ai_tasks.compat.batch_documents import ExpiresAfter
from ai_tasks.compat.errors import unsupported
from ai_tasks.errors import InvalidInput, Mistake

Json = dict[str, Any]
LARGER_BODIES = ((re.compile(r"/v1/files/?"), settings.AI_FILE_BYTES + 100_000),)
"""The path that takes files, and how many bytes: a form has more than the file."""
FIELDS = {"purpose", "file", "expires_after[anchor]", "expires_after[seconds]"}
NUMBER = re.compile("[0-9]{1,9}")
NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST_NAME = 200


def received(request: Request, now: datetime) -> tuple[StoredFile, Json]:
    """
    Store the file of a form, not yet seen by anybody, and return it and what tells the request from others.

    Raises InvalidInput for a form that is wrong, and Refused for a file that is too large.
    """
    form: Any = request.data
    if unknown := sorted(set(form) - FIELDS):
        raise unsupported(unknown[0][:100])
    if form.get("purpose") != StoredFile.Purpose.BATCH:
        raise _wrong("/purpose", "Files are for batches here: purpose must be `batch`.")
    seconds = _seconds(form)
    upload = form.get("file")
    if not isinstance(upload, UploadedFile):
        raise _wrong("/file", "Send the file as a part with a file name.")
    _check_size(request, upload.size or 0)
    kept = settings.AI_KEEP_FILES if seconds is None else timedelta(seconds=seconds)
    name = NOT_IN_NAMES.sub("", upload.name or "")[-LONGEST_NAME:] or "file"
    values = {"purpose": StoredFile.Purpose.BATCH, "name": name, "created_at": now, "expires_at": now + kept}
    file = StoredFile.objects.create(owner=user_of(request), **values)
    return file, {"name": name, "seconds": seconds, "sha256": content.store(file, upload.chunks())}


def _seconds(form: Mapping[str, Any]) -> int | None:
    """Return how long the file is to be kept; None: as any. Raises ValidationError."""
    given = {name: form[f"expires_after[{name}]"] for name in ("anchor", "seconds") if f"expires_after[{name}]" in form}
    if not given:
        return None
    if NUMBER.fullmatch(text := given.get("seconds", "")):
        given["seconds"] = int(text)
    wish = ExpiresAfter(data=given)
    if not wish.is_valid():
        raise ValidationError({"expires_after": wish.errors})
    return int(wish.validated_data["seconds"])


def _wrong(pointer: str, detail: str) -> InvalidInput:
    """Return the refusal of one member of a request."""
    return InvalidInput("The request is not valid.", errors=(Mistake(pointer, detail),))


def _check_size(request: Request, size: int) -> None:
    if not size:
        raise _wrong("/file", "The file is empty.")
    if size > settings.AI_FILE_BYTES:
        raise too_large(settings.AI_FILE_BYTES)
    used = StoredFile.objects.filter(owner=user_of(request)).aggregate(used=Sum("size_bytes"))["used"] or 0
    if used + size > settings.AI_FILES_BYTES_PER_USER:
        most = settings.AI_FILES_BYTES_PER_USER
        raise refuse("payload_too_large", f"All your files may have {most:,} bytes together: delete some.")
