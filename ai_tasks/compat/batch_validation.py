"""Read the file of a batch: where each request stands, and what is wrong with those that are none."""

from typing import Any

from django.conf import settings

from ai_tasks.batches import content
from ai_tasks.batches.content import Line
from ai_tasks.batches.models import Batch, BatchLine
from ai_tasks.compat.batch_lines import Wrong, head_of

LINES = 500
"""Lines that are read in one transaction."""
PIECE_BYTES = 4_000_000
"""No more of them once they have so many bytes."""
MOST_REQUESTS = 50_000
MOST_ERRORS = 100
"""With so many the reading ends."""
BOM = b"\xef\xbb\xbf"

Errors = list[dict[str, Any]]


def read_on(batch: Batch) -> bool | None:
    """Read the next lines; return True at the end of a good file, False when it is known to be wrong, None before."""
    found, wrong, is_end = _read(batch)
    wrong += _store(batch, found)
    if batch.total > MOST_REQUESTS:
        wrong.append(Wrong("too_many_requests", f"A batch has at most {MOST_REQUESTS:,} requests.").document(None))
        is_end = True
    batch.errors = [*batch.errors, *sorted(wrong, key=lambda each: each["line"] or MOST_REQUESTS)][:MOST_ERRORS]
    if is_end and not batch.total and not batch.errors:
        batch.errors = [Wrong("empty_file", "The file has no requests.").document(None)]
    if not is_end and len(batch.errors) < MOST_ERRORS:
        return None
    return not batch.errors


def _read(batch: Batch) -> tuple[list[BatchLine], Errors, bool]:
    """Return the next lines that are requests, what is wrong with others, and whether there are no more."""
    found: list[BatchLine] = []
    wrong: Errors = []
    first_line, first_byte = batch.read_lines, batch.read_bytes
    for line in content.lines(batch.input_file_id, batch.read_bytes, longest=settings.AI_BATCH_LINE_BYTES):
        if batch.read_lines - first_line == LINES or batch.read_bytes - first_byte > PIECE_BYTES:
            return found, wrong, False
        batch.read_lines, batch.read_bytes = batch.read_lines + 1, line.following
        try:
            if request := _request(batch, line):
                found.append(request)
        except Wrong as error:
            wrong.append(error.document(batch.read_lines))
    return found, wrong, True


def _request(batch: Batch, line: Line) -> BatchLine | None:
    """Return the request in a line; None: it is empty. Raises Wrong."""
    if line.data is None:
        raise Wrong("line_too_long", f"This line is longer than {settings.AI_BATCH_LINE_BYTES:,} bytes.")
    data = line.data.removeprefix(BOM) if line.offset == 0 else line.data
    if not data.strip():
        return None
    head = head_of(data, batch.endpoint)
    batch.model = batch.model or head.model
    offset = line.offset + len(line.data) - len(data)
    place = {"number": batch.read_lines, "offset": offset, "size_bytes": len(data)}
    return BatchLine(batch=batch, custom_id=head.custom_id, **place)


def _store(batch: Batch, found: list[BatchLine]) -> Errors:
    """Store the requests and count them; return what is wrong with those whose custom_id is another's."""
    seen = set(batch.lines.filter(custom_id__in={line.custom_id for line in found}).values_list("custom_id", flat=True))
    wrong: Errors = []
    new: list[BatchLine] = []
    for line in found:
        if line.custom_id in seen:
            error = Wrong("duplicate_custom_id", "Another request of the batch has the same custom_id.", "custom_id")
            wrong.append(error.document(line.number))
        else:
            new.append(line)
        seen.add(line.custom_id)
    BatchLine.objects.bulk_create(new)
    batch.total += len(new)
    return wrong
