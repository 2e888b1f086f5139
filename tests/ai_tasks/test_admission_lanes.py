"""Admission shares slots: between the lanes, and with urgent work."""

import pytest
from django.contrib.auth.models import User

from queueing.models import QueueEntry, TaskQueue
from queueing.states import Lane, Priority
from tests.ai_tasks.conftest import SetLimits
from tests.engine import admitted, at, plan, several

pytestmark = pytest.mark.usefixtures("providers_ready")


def test_long_work_gets_at_most_half_of_the_slots(alice: User, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=4)
    several(alice, 6, priority=Priority.URGENT)
    QueueEntry.objects.update(lane=Lane.LONG)
    TaskQueue.objects.queue("simulator", Lane.LONG)

    assert admitted(plan()) == 2


def test_long_work_is_not_starved_by_a_flood_of_other_work(alice: User, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=2)
    (long_task,) = several(alice, 1)
    QueueEntry.objects.update(lane=Lane.LONG)
    TaskQueue.objects.queue("simulator", Lane.LONG)
    several(alice, 20)

    for second in range(6):
        for each in plan(now=at(second), limit=1).dispatches:
            entry = QueueEntry.objects.get(task_id=each.task_id)
            if entry.lane == Lane.LONG:
                return
            entry.delete()

    pytest.fail(f"{long_task} waits for ever")


def test_one_slot_is_kept_for_urgent_work(alice: User, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=4)
    several(alice, 5)
    assert admitted(plan()) == 3

    several(alice, 1, priority=Priority.URGENT)

    assert admitted(plan()) == 1


def test_few_slots_keep_none_for_urgent_work(alice: User, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=3)
    several(alice, 5)

    assert admitted(plan()) == 3
