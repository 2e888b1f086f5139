"""A batch whose runner dies, loses its lease, or is not alone; one that waits for room, and one whose time is over."""

import json
from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from ai_tasks import clock
from ai_tasks.accounts.models import LedgerEntry
from ai_tasks.batches import content
from ai_tasks.batches.models import Batch, BatchLine, StoredFile
from ai_tasks.compat import batch_files, batch_validation, batch_work
from ai_tasks.models import AIGenerationTask
from config.chaos.invariants import violations, violations_at_rest
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState
from queueing.stored_jobs import LEASE
from tests.ai_tasks.batches.conftest import batch_of, carried_on, jsonl, line, many
from tests.engine import answer, at, at_once, claimed, run_admitted

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 45


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batch_work, batch_files, batch_validation):
        monkeypatch.setattr(module, "LINES", 10)


class PowerCut(BaseException):
    """Ends a runner in the middle."""


def cut_short(batch: Batch, pieces: int, seconds: float) -> None:
    """Let a runner do so many pieces, cut it in the middle of the next one, and its lease pass."""
    runner = batch_work.carry_out(batch.pk, tell=lambda: at(seconds))
    for _ in range(pieces):
        next(runner)
    with pytest.raises(PowerCut), connection.execute_wrapper(_cut_at_the_end()):
        next(runner)


def _cut_at_the_end() -> Any:
    """Let everything of a piece be written but its last statement, which moves the batch."""

    def wrap(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('UPDATE "ai_tasks_batch"') and '"read_bytes"' in sql:
            raise PowerCut
        return execute(sql, params, many, context)

    return wrap


def files_of(batch: Batch) -> list[list[Any]]:
    """Return the documents in the batch's output and error files."""
    ids = (batch.output_file_id, batch.error_file_id)
    texts = [b"".join(content.blocks(file_id)).decode() if file_id else "" for file_id in ids]
    return [[json.loads(text) for text in each.splitlines()] for each in texts]


def answer_all(seconds: float) -> None:
    """Complete every waiting task."""
    now = at(seconds)
    for _ in range(QueueEntry.objects.waiting().count()):
        lease = claimed(now=now)
        AIGenerationTask.objects.complete(lease.task.pk, lease.epoch, answer(), now=now)


@pytest.mark.parametrize("pieces", range(10))
def test_a_runner_killed_while_it_reads_or_begins_doubles_and_loses_nothing(alice: User, pieces: int) -> None:
    batch = batch_of(alice, many(COUNT))
    cut_short(batch, pieces, 0)

    after = carried_on(batch, LEASE.total_seconds() + 1)

    assert (after.status, after.total) == ("in_progress", COUNT)
    lines = BatchLine.objects.filter(batch=batch)
    assert Counter(lines.values_list("state", flat=True)) == {"open": COUNT}
    assert AIGenerationTask.objects.count() == QueueEntry.objects.count() == COUNT
    assert violations() == []


@pytest.mark.parametrize("pieces", range(7))
def test_a_runner_killed_while_it_writes_doubles_and_loses_nothing(alice: User, pieces: int) -> None:
    batch = carried_on(batch_of(alice, many(COUNT)))
    answer_all(10)
    cut_short(batch, pieces, 20)

    after = carried_on(batch, 21 + LEASE.total_seconds())

    assert after.status == "completed"
    written, errors = files_of(after)
    assert [each["custom_id"] for each in written] == [f"r{number}" for number in range(COUNT)]
    assert (errors, after.completed, after.failed) == ([], COUNT, 0)
    assert StoredFile.objects.filter(purpose="batch_output", is_whole=True).count() == 1
    assert after.usage["total_tokens"] == 15 * COUNT


def test_a_batch_is_one_runners_until_its_lease_passes(alice: User) -> None:
    batch = batch_of(alice, many(COUNT))
    slow = batch_work.carry_out(batch.pk, tell=lambda: at(0))
    next(slow)

    assert carried_on(batch, 59).status == "validating"
    assert AIGenerationTask.objects.count() == 0
    quick = carried_on(batch, 61)

    assert list(slow) == []
    assert (quick.total, AIGenerationTask.objects.count()) == (COUNT, COUNT)


def test_two_workers_at_once_begin_and_write_each_request_once(alice: User) -> None:
    batch = batch_of(alice, many(COUNT), now=clock.now())

    def work() -> int:
        return sum(1 for _ in batch_work.carry_out(batch.pk))

    results: Any = at_once([work] * 3)

    assert sum(1 for each in results if each) == 1, results
    assert AIGenerationTask.objects.count() == COUNT
    while run_admitted():
        pass
    Batch.objects.update(due_at=clock.now(), collected_at=None)
    at_once([work] * 3)
    batch.refresh_from_db()
    assert [len(each) for each in files_of(batch)] == [COUNT, 0]
    assert LedgerEntry.objects.count() == COUNT
    assert violations_at_rest() == []


def test_a_cancel_during_a_piece_is_not_overwritten(alice: User) -> None:
    batch = batch_of(alice, many(COUNT))
    runner = batch_work.carry_out(batch.pk, tell=lambda: at(0))
    for _ in range(COUNT // 10 + 3):
        next(runner)

    assert Batch.objects.cancel(batch.pk, at(1))
    for _ in runner:
        pass

    batch.refresh_from_db()
    assert batch.status in ("cancelling", "cancelled")
    assert not AIGenerationTask.objects.active().exists()
    done = carried_on(batch, 100)
    assert (done.status, len(files_of(done)[1])) == ("cancelled", COUNT)
    assert (done.total, done.completed, done.failed) == (COUNT, 0, COUNT)


def test_a_batch_waits_for_room_among_its_users_waiting_tasks(alice: User, settings: Any) -> None:
    settings.AI_BATCH_LIVE_LINES = 20
    batch = batch_of(alice, many(COUNT))

    began = [BatchLine.objects.filter(state="open").count() for seconds in (0, 10) if carried_on(batch, seconds)]
    answer_all(20)
    after = carried_on(batch, 30)

    assert began == [20, 20]
    assert (after.completed, BatchLine.objects.filter(state="open").count()) == (20, 20)


def test_a_full_queue_parks_the_batch_and_fails_no_request(alice: User) -> None:
    queue = TaskQueue.objects.queue("simulator", "default")
    TaskQueue.objects.filter(pk=queue.pk).update(user_mark=20)
    batch = carried_on(batch_of(alice, many(COUNT)))

    assert QueueEntry.objects.count() == 20
    assert (batch.failed, batch.due_at > at(0), batch.runner) == (0, True, None)
    for seconds in range(100, 2_000, 100):
        answer_all(seconds)
        batch = carried_on(batch, seconds + 50)
    assert (batch.status, batch.completed, batch.failed) == ("completed", COUNT, 0)


def test_what_is_not_done_within_the_window_has_expired(alice: User) -> None:
    batch = carried_on(batch_of(alice, jsonl(line("bad", colour="blue")) + many(3)))
    lease = claimed(now=at(10))
    AIGenerationTask.objects.complete(lease.task.pk, lease.epoch, answer(), now=at(10))

    expired = carried_on(carried_on(batch, 86_400), 86_402)

    assert (expired.status, expired.total, expired.completed, expired.failed) == ("expired", 4, 1, 3)
    written, errors = files_of(expired)
    assert [each["custom_id"] for each in written] == ["r0"]
    told = [(each["custom_id"], each["error"] and each["error"]["code"]) for each in errors]
    assert told == [("bad", None), ("r1", "batch_expired"), ("r2", "batch_expired")]
    assert not AIGenerationTask.objects.active().exists()
    assert AIGenerationTask.objects.filter(status="cancelled").count() == 2


def test_a_batch_that_is_never_read_in_time_expires(alice: User) -> None:
    expired = carried_on(batch_of(alice, many(3)), 86_400)

    assert (expired.status, expired.total, AIGenerationTask.objects.count()) == ("expired", 0, 0)


def test_a_batch_waits_for_a_running_task_that_is_to_stop_but_not_for_ever(alice: User) -> None:
    batch = carried_on(batch_of(alice, many(2)))
    claimed(now=at(10))
    Batch.objects.cancel(batch.pk, at(20))

    waiting = carried_on(batch, 21)
    late = carried_on(batch, 20 + batch_work.GRACE.total_seconds())

    assert (waiting.status, QueueEntry.objects.get().state) == ("cancelling", EntryState.RUNNING)
    assert late.status == "cancelled"
    assert [each["error"]["code"] for each in files_of(late)[1]] == ["batch_cancelled"] * 2


def test_a_task_that_timed_out_is_a_request_without_an_answer(alice: User) -> None:
    batch = carried_on(batch_of(alice, many(1)))
    AIGenerationTask.objects.update(status="timed_out", finished_at=at(5))

    ended = carried_on(carried_on(batch, 10), 12)

    (error,) = files_of(ended)[1]
    assert (ended.status, error["response"], error["error"]["code"]) == ("completed", None, "request_timeout")


def test_a_request_that_was_tried_again_is_counted_as_what_it_is_written_as(alice: User) -> None:
    batch = carried_on(batch_of(alice, many(2)))
    answer_all(5)
    BatchLine.objects.filter(number=2).update(state="failed")
    Batch.objects.update(failed=1)

    ended = carried_on(batch, 10)

    assert (ended.completed, ended.failed, len(files_of(ended)[0])) == (2, 0, 2)


def test_files_are_written_in_bounded_pieces(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "PIECE_BYTES", 2_000)
    batch = carried_on(batch_of(alice, many(20)))
    answer_all(5)

    ended = carried_on(batch, 10)

    file = StoredFile.objects.get(pk=ended.output_file_id)
    assert file.blocks.count() > 3
    assert len(files_of(ended)[0]) == 20


def test_a_new_batch_is_begun_while_another_waits(alice: User, bob: User) -> None:
    first, second = batch_of(alice, many(1)), batch_of(bob, many(1))
    carried_on(first)
    carried_on(second)

    assert AIGenerationTask.objects.count() == 2
