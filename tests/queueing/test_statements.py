"""Statements that are compiled once: the same rows as the ORM's own, whatever the parameters."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import F

from queueing.models import QueueEntry
from queueing.statements import Param, Select, Update
from queueing.states import EntryState, Lane
from tests.queueing.conftest import Enqueue

pytestmark = pytest.mark.django_db

DISPATCH = UUID("0190f5a0-0000-7000-8000-000000000001")
BY_TASK = Select(lambda: QueueEntry.objects.filter(task_id=Param("task_id"), lane=Param("lane")))
QUEUE = Update(
    lambda: QueueEntry.objects.waiting().filter(pk=Param("pk")),
    state=EntryState.QUEUED,
    epoch=F("epoch") + 1,
    dispatch_id=Param("dispatch_id"),
    queued_at=Param("at"),
)


def test_a_select_runs_again_with_other_parameters(enqueue: Enqueue) -> None:
    first, second = enqueue(), enqueue()

    found = [BY_TASK.rows(task_id=each.task_id, lane=Lane.DEFAULT) for each in (first, second)]

    assert found == [[first], [second]]
    assert BY_TASK.rows(task_id=uuid4(), lane=Lane.DEFAULT) == []
    assert BY_TASK.rows(task_id=first.task_id, lane=Lane.LONG) == []


def test_a_parameter_is_never_read_as_sql(enqueue: Enqueue) -> None:
    entry = enqueue()

    assert BY_TASK.rows(task_id=entry.task_id, lane="default' OR '1'='1") == []
    assert BY_TASK.rows(task_id=entry.task_id, lane="%s") == []


def test_an_update_returns_the_rows_as_they_are_now(enqueue: Enqueue) -> None:
    entry = enqueue()
    at = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=timezone(timedelta(hours=9)))

    (moved,) = QUEUE.rows(pk=entry.pk, at=at, dispatch_id=DISPATCH)

    assert (moved.state, moved.epoch, moved.queued_at) == (EntryState.QUEUED, entry.epoch + 1, at.astimezone(UTC))
    stored = QueueEntry.objects.get()
    assert stored.dispatch_id == DISPATCH
    assert (stored.state, stored.epoch, stored.queued_at) == (moved.state, moved.epoch, moved.queued_at)
    assert QUEUE.rows(pk=entry.pk, at=at, dispatch_id=DISPATCH) == [], "it is not waiting any more"


def test_an_update_of_many_says_how_many_it_changed(enqueue: Enqueue) -> None:
    entries = [enqueue() for _ in range(3)]
    at = datetime(2026, 3, 1, tzinfo=UTC)

    moved = QUEUE.run(
        *({"pk": each.pk, "at": at, "dispatch_id": DISPATCH} for each in entries),
        {"pk": 0, "at": at, "dispatch_id": DISPATCH},
    )

    assert moved == 3
    assert QUEUE.run({"pk": entries[0].pk, "at": at, "dispatch_id": DISPATCH}) == 0


def test_a_column_that_an_upgrade_drops_meanwhile_does_no_harm(enqueue: Enqueue) -> None:
    entry = enqueue()
    every_column = Update(lambda: QueueEntry.objects.filter(pk=Param("pk")), epoch=F("epoch") + 1)
    every_column.rows(pk=entry.pk)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE queueing_queueentry DROP COLUMN cancel_requested_at")

    (row,) = every_column.rows(pk=entry.pk)

    assert (row.epoch, row.task_id, row.enqueued_at) == (entry.epoch + 2, entry.task_id, entry.enqueued_at)


def test_rows_are_what_the_orm_itself_would_return(enqueue: Enqueue) -> None:
    entry = enqueue(run_at=datetime(2027, 3, 1, 9, 30, tzinfo=UTC))

    (row,) = BY_TASK.rows(task_id=entry.task_id, lane=Lane.DEFAULT)

    stored = QueueEntry.objects.get()
    fields = [field.attname for field in QueueEntry._meta.concrete_fields]
    assert [getattr(row, name) for name in fields] == [getattr(stored, name) for name in fields]
    assert not row._state.adding
