"""Streamed output as rows: written under the fence, folded into one row when the task ends."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from ai_tasks.states import ChunkKind


class Piece(NamedTuple):
    """One chunk's content."""

    seq: int
    epoch: int
    kind: str
    data: str


def write(task: Any, pieces: Iterable[Piece]) -> None:
    """Insert the pieces as rows of their own."""
    write_all([(task, pieces)])


def write_all(flushed: Sequence[tuple[Any, Iterable[Piece]]]) -> None:
    """Insert the pieces of several tasks, in one statement."""
    if flushed:
        model = flushed[0][0].chunks.model
        rows = [model(task_id=task.pk, **piece._asdict()) for task, pieces in flushed for piece in pieces]
        model.objects.bulk_create(rows)


def fold(task: Any) -> None:
    """Put all chunks of an ended task into one row: their text joined, and the place of each in it."""
    fold_all(task.chunks.model, [(task.pk, ())])


def fold_all(model: Any, ended: Iterable[tuple[UUID, Sequence[Piece]]]) -> None:
    """Do so for several tasks, the pieces that were not written yet included."""
    last = dict(ended)
    rows: dict[UUID, list[Any]] = {task_id: [] for task_id in last}
    for row in model.objects.filter(task_id__in=last).order_by("seq"):
        rows[row.task_id].append(row)
    changed = [task_id for task_id in last if last[task_id] or len(rows[task_id]) > 1]
    pieces = {each: [*chain.from_iterable(row.unfold() for row in rows[each]), *last[each]] for each in changed}
    if old := [row.pk for each in changed for row in rows[each]]:
        model.objects.filter(pk__in=old).delete()
    model.objects.bulk_create([model(task_id=each, **_folded(pieces[each])) for each in changed])


def _folded(pieces: Sequence[Piece]) -> dict[str, Any]:
    newest = pieces[-1]
    if len(pieces) == 1:
        return newest._asdict()
    parts = [[piece.seq, piece.epoch, piece.kind, len(piece.data)] for piece in pieces]
    return {**newest._asdict(), "data": "".join(piece.data for piece in pieces), "parts": parts}


def unfold(seq: int, epoch: int, kind: str, data: str, parts: list[list[Any]] | None) -> list[Piece]:
    """Return the pieces of a row, folded or not."""
    if parts is None:
        return [Piece(seq, epoch, kind, data)]
    found, start = [], 0
    for part_seq, part_epoch, part_kind, length in parts:
        found.append(Piece(part_seq, part_epoch, part_kind, data[start : start + length]))
        start += length
    return found


def current(task: Any) -> list[Piece]:
    """Return the visible pieces after the last reset: what the task's text is now."""
    found: list[Piece] = []
    for piece in task.chunks.model.objects.after(task.pk, 0):
        if piece.kind == ChunkKind.RESET:
            found = []
        elif piece.kind in (ChunkKind.TEXT, ChunkKind.REFUSAL):
            found.append(piece)
    return found
