"""Fixtures of the queue's tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import transaction

from queueing.entries import Estimate
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Lane, Priority
from tests.engine import NOW

ALICE, BOB = 1, 2


@dataclass(kw_only=True)
class Job:
    """What the queue needs to know of a task."""

    id: UUID = field(default_factory=uuid4)
    owner_id: int = ALICE
    type: str = "text.generate"
    provider: str = "simulator"
    model: str = "sim-1"
    lane: str = Lane.DEFAULT
    priority: int = Priority.NORMAL
    epoch: int = 0
    serial_key: str = ""
    run_at: datetime | None = None
    deadline_at: datetime = NOW + timedelta(days=1)


Enqueue = Callable[..., QueueEntry]


@pytest.fixture
def enqueue(db: None) -> Enqueue:
    """Return a function that enqueues a job of 100 tokens, as a transaction of its own; its options are the job's."""

    @transaction.atomic
    def put(*, tokens: int = 100, now: datetime = NOW, **job: object) -> QueueEntry:
        return TaskQueue.objects.enqueue(Job(**job), estimate=Estimate(tokens, 0), now=now)  # type: ignore[arg-type]

    return put
