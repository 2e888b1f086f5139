"""Write the files of a batch from its ended tasks, in the order of its lines."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from ai_tasks.batches import content
from ai_tasks.batches.models import Batch, BatchLine, LineState, StoredFile
from ai_tasks.compat.batch_lines import answered, body_of, encoded, failed
from ai_tasks.states import TaskStatus

LINES = 100
"""Lines of one transaction."""
AT_ONCE = 5
"""Tasks in memory: the vectors of one may have megabytes."""
PIECE_BYTES = 2_000_000
"""No more lines once they have so many bytes."""
CANCELLED = "batch_cancelled", "The batch was cancelled before this request was done."
EXPIRED = "batch_expired", "The time of the batch was over before this request was done."
USED = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "total_tokens")


def write_on(batch: Batch, now: datetime) -> bool:
    """Write the next lines; False: there are none any more, and the files are whole."""
    pieces = {LineState.COMPLETED: bytearray(), LineState.FAILED: bytearray()}
    reader = content.Reader(batch.input_file_id)
    left = batch.lines.filter(number__gt=batch.written_line).order_by("number")
    for line in left.select_related("task").defer("task__input")[:LINES].iterator(AT_ONCE):
        state, text = _written(batch, line, reader)
        pieces[state] += text
        _count(batch, line, state)
        batch.written_line = line.number
        if sum(map(len, pieces.values())) > PIECE_BYTES:
            break
    if not any(pieces.values()):
        StoredFile.objects.filter(pk__in=(batch.output_file_id, batch.error_file_id)).update(is_whole=True)
        return False
    batch.output_file_id = _append(batch, batch.output_file_id, "output", pieces[LineState.COMPLETED], now)
    batch.error_file_id = _append(batch, batch.error_file_id, "error", pieces[LineState.FAILED], now)
    return True


def _written(batch: Batch, line: BatchLine, reader: content.Reader) -> tuple[LineState, bytes]:
    task = line.task
    if task and task.status == TaskStatus.COMPLETED and task.output:
        body = body_of(reader.read(line.offset, line.size_bytes))
        return LineState.COMPLETED, encoded(answered(batch.endpoint, line, task, body))
    cut = (EXPIRED if batch.is_expired else CANCELLED) if batch.is_cut_short else None
    return LineState.FAILED, encoded(failed(line, cut))


def _count(batch: Batch, line: BatchLine, state: LineState) -> None:
    """Count the line as what it is written as: since it was counted an operator may have retried it."""
    if line.state in (LineState.COMPLETED, LineState.FAILED):
        setattr(batch, line.state, getattr(batch, line.state) - 1)
    setattr(batch, state, getattr(batch, state) + 1)
    used: dict[str, Any] = (line.task.usage if line.task else None) or {}
    batch.usage = {name: (batch.usage or {}).get(name, 0) + used.get(name, 0) for name in USED}


def _append(batch: Batch, file_id: Any, kind: str, data: bytearray, now: datetime) -> Any:
    """Write behind what the file has, which is made with its first line; return its id."""
    if not data:
        return file_id
    file = StoredFile.objects.filter(pk=file_id).first() if file_id else _new(batch, kind, now)
    if file is None:
        raise LookupError(f"The {kind} file of batch {batch.pk} is gone.")
    content.append(file, bytes(data))
    return file.pk


def _new(batch: Batch, kind: str, now: datetime) -> StoredFile:
    seconds = batch.output_expires_after_seconds
    kept = settings.AI_KEEP_FILES if seconds is None else timedelta(seconds=seconds)
    name = f"batch_{batch.pk.hex}_{kind}.jsonl"
    purpose = StoredFile.Purpose.BATCH_OUTPUT
    return StoredFile.objects.create(
        owner=batch.owner, purpose=purpose, name=name, created_at=now, expires_at=now + kept
    )
