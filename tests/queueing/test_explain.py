"""The pick reads its index, in order, and no more rows than it takes."""

import pytest
from django.db import connection

from queueing.entries import Estimate
from queueing.models import QueueEntry, TaskQueue
from queueing.states import EntryState, Priority
from tests.engine import NOW
from tests.queueing.conftest import Job

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]


@pytest.fixture
def many_entries(db: None) -> None:
    """Twenty thousand entries, a tenth of them waiting, of several providers and classes."""
    job = Job()
    first = TaskQueue.objects.enqueue(job, estimate=Estimate(1, 1), now=NOW)
    rows = []
    for number in range(20_000):
        job = Job(provider=f"provider-{number % 4}", priority=number % 5)
        is_waiting = number % 10 == 0
        rows.append(
            QueueEntry(
                task_id=job.id,
                provider=job.provider,
                model=job.model,
                owner_key=str(number % 50),
                priority=job.priority,
                fair_tag=float(number),
                state=EntryState.WAITING if is_waiting else EntryState.PARKED,
                parked_reason="" if is_waiting else "budget",
                deadline_at=job.deadline_at,
                enqueued_at=NOW,
            )
        )
    QueueEntry.objects.bulk_create(rows, batch_size=2_000)
    first.delete()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE queueing_queueentry")


def test_the_head_of_a_class_is_read_by_the_index_without_a_sort(many_entries: None) -> None:
    heads = QueueEntry.objects.waiting().of("provider-0", "default").filter(priority=Priority.URGENT)
    picked = heads.order_by("fair_tag", "id").select_for_update(skip_locked=True)[:32]

    told = picked.explain(analyze=True)

    assert "entry_pick" in told, told
    assert "Sort" not in told, told
    assert "Rows Removed by Filter" not in told, told


def test_the_probe_for_waiting_entries_reads_the_index(many_entries: None) -> None:
    told = QueueEntry.objects.waiting().of("provider-0", "default").filter(priority=0)[:1].explain()

    assert "entry_pick" in told, told


def test_what_is_parked_for_a_key_is_found_by_its_index(many_entries: None) -> None:
    told = QueueEntry.objects.parked().filter(parked_reason="budget", parked_key="no such key").explain()

    assert "entry_parked" in told, told
