"""Chunks: folded into one row and taken apart again, byte for byte."""

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_tasks import chunks
from ai_tasks.chunks import Piece
from ai_tasks.models import Chunk
from ai_tasks.states import ChunkKind
from tests.engine import text_task

pytestmark = pytest.mark.usefixtures("providers_ready")

TEXTS = st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)
KINDS = st.sampled_from([ChunkKind.TEXT.value, ChunkKind.REASONING.value, ChunkKind.RESET.value])


@given(pieces=st.lists(st.tuples(KINDS, TEXTS), min_size=1, max_size=30), after=st.integers(0, 31))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_folded_reads_as_before_from_every_place(
    alice: User, pieces: list[tuple[str, str]], after: int
) -> None:
    task = text_task(alice)
    written = [Piece(number, 1, kind, data) for number, (kind, data) in enumerate(pieces, start=1)]
    chunks.write(task, written)
    before, current = Chunk.objects.after(task.pk, after), chunks.current(task)

    chunks.fold(task)

    assert Chunk.objects.filter(task=task).count() == 1
    assert Chunk.objects.after(task.pk, after) == before == written[after:]
    assert chunks.current(task) == current


def test_a_second_fold_changes_nothing(alice: User) -> None:
    task = text_task(alice)
    chunks.write(task, [Piece(1, 1, "text", "a"), Piece(2, 1, "text", "b")])
    chunks.fold(task)
    before = Chunk.objects.after(task.pk, 0)

    chunks.fold(task)

    assert Chunk.objects.after(task.pk, 0) == before


def test_chunks_after_a_fold_join_the_next_one(alice: User) -> None:
    task = text_task(alice)
    first = [Piece(1, 1, "text", "ab"), Piece(2, 1, "text", "c")]
    chunks.write(task, first)
    chunks.fold(task)
    later = [Piece(3, 2, "reset", "worker_lost"), Piece(4, 2, "text", "d")]
    chunks.write(task, later)

    chunks.fold(task)

    assert Chunk.objects.after(task.pk, 0) == first + later
    assert Chunk.objects.after(task.pk, 1) == (first + later)[1:]


def test_a_task_that_said_nothing_has_no_row(alice: User) -> None:
    task = text_task(alice)

    chunks.fold(task)

    assert not Chunk.objects.exists()
    assert Chunk.objects.last_seq(task.pk) == 0


def test_the_present_text_begins_after_the_last_reset(alice: User) -> None:
    task = text_task(alice)
    chunks.write(
        task,
        [
            Piece(1, 1, "text", "void"),
            Piece(2, 2, "reset", "worker_lost"),
            Piece(3, 2, "reasoning", "hm"),
            Piece(4, 2, "text", "The "),
            Piece(5, 2, "text", "Rhine"),
        ],
    )

    assert "".join(piece.data for piece in chunks.current(task)) == "The Rhine"


def test_the_newest_numbers_are_read_for_many_tasks_at_once(alice: User) -> None:
    one, two, silent = text_task(alice), text_task(alice), text_task(alice)
    chunks.write(one, [Piece(1, 1, "text", "a"), Piece(2, 1, "text", "b")])
    chunks.write(two, [Piece(1, 1, "text", "a")])

    assert Chunk.objects.newest([str(task.pk) for task in (one, two, silent)]) == {one.pk: 2, two.pk: 1}
