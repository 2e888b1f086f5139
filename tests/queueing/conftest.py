"""Fixtures of the queue's tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from queueing.entries import Estimate
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from queueing.states import Lane, Priority
from tests.engine import NOW

ALICE, BOB = 1, 2


@dataclass(kw_only=True)
class Job:
    """What the queue needs to know of a task."""

    id: UUID = field(default_factory=uuid4)
    owner_id: int = ALICE
    api_key_id: int | None = None
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


def bury(
    job: Job | None = None,
    reason: str = "tries_used_up",
    *,
    error_class: str = "unavailable",
    message: str = "It did not answer.",
    now: datetime = NOW,
    **of_job: object,
) -> DeadLetter:
    """Write the dead letter of a job; other options are the job's."""
    dead = job or Job(**of_job)  # type: ignore[arg-type]
    return TaskQueue.objects.move_to_dlq(dead, reason, error_class=error_class, message=message, attempts=4, now=now)


@pytest.fixture
def enqueue(db: None) -> Enqueue:
    """Return a function that enqueues a job of 100 tokens; its options are the job's."""

    def put(*, tokens: int = 100, now: datetime = NOW, **job: object) -> QueueEntry:
        return TaskQueue.objects.enqueue(Job(**job), estimate=Estimate(tokens, 0), now=now)  # type: ignore[arg-type]

    return put
