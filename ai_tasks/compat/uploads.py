"""The form of POST /v1/files."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Sum
from rest_framework.request import Request

from ai_tasks.api.authentication import user_of
from ai_tasks.api.parsers import too_large
from ai_tasks.api.problems import refuse
from ai_tasks.batches import content
from ai_tasks.batches.models import StoredFile
from ai_tasks.compat.errors import unsupported
from ai_tasks.errors import InvalidInput, Mistake

Json = dict[str, Any]
LARGER_BODIES = ((re.compile(r"/v1/files/?"), settings.AI_FILE_BYTES + 100_000),)
"""The path that takes files, and how many bytes: a form has more than the file."""
FIELDS = {"purpose", "file", "expires_after[anchor]", "expires_after[seconds]"}
SHORTEST_SECONDS, LONGEST_SECONDS = 3_600, 2_592_000
"""Of `expires_after`, as OpenAI's."""
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
        raise wrong("/purpose", "Files are for batches here: purpose must be `batch`.")
    seconds = lasting(_expiry(form), "/expires_after")
    upload = form.get("file")
    if not isinstance(upload, UploadedFile):
        raise wrong("/file", "Send the file as a part with a file name.")
    _check_size(request, upload.size or 0)
    kept = settings.AI_KEEP_FILES if seconds is None else timedelta(seconds=seconds)
    name = NOT_IN_NAMES.sub("", upload.name or "")[-LONGEST_NAME:] or "file"
    values = {"purpose": StoredFile.Purpose.BATCH, "name": name, "created_at": now, "expires_at": now + kept}
    file = StoredFile.objects.create(owner=user_of(request), **values)
    return file, {"name": name, "seconds": seconds, "sha256": content.store(file, upload.chunks())}


def _expiry(form: Mapping[str, Any]) -> Json | None:
    given = {name: form.get(f"expires_after[{name}]") for name in ("anchor", "seconds")}
    text = given["seconds"]
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10:
        given["seconds"] = int(text)
    return given if any(value is not None for value in given.values()) else None


def lasting(given: Any, pointer: str) -> int | None:
    """Return the seconds of an `expires_after`; None: as any file. Raises InvalidInput."""
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) != {"anchor", "seconds"} or given["anchor"] != "created_at":
        raise wrong(pointer, 'Give {"anchor": "created_at", "seconds": ...}.')
    seconds = given["seconds"]
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise wrong(f"{pointer}/seconds", f"It must be {SHORTEST_SECONDS:,} to {LONGEST_SECONDS:,}.")
    return seconds


def wrong(pointer: str, detail: str) -> InvalidInput:
    """Return the refusal of one member of a request."""
    return InvalidInput("The request is not valid.", errors=(Mistake(pointer, detail),))


def _check_size(request: Request, size: int) -> None:
    if not size:
        raise wrong("/file", "The file is empty.")
    if size > settings.AI_FILE_BYTES:
        raise too_large(settings.AI_FILE_BYTES)
    used = StoredFile.objects.filter(owner=user_of(request)).aggregate(used=Sum("size_bytes"))["used"] or 0
    if used + size > settings.AI_FILES_BYTES_PER_USER:
        most = settings.AI_FILES_BYTES_PER_USER
        raise refuse("payload_too_large", f"All your files may have {most:,} bytes together: delete some.")
