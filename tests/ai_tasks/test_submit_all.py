"""submission.submit_all: several tasks, all or none, in an order that locks nobody out."""

import pytest
from django.contrib.auth.models import User

from ai_tasks.errors import QueueFull
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest, submit_all
from config.chaos.invariants import violations
from queueing.models import FairShare, QueueEntry, TaskQueue
from queueing.states import Priority
from tests.engine import NOW, answer, at, at_once, claimed, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


def request(priority: Priority, prompt: str = "Name a river.") -> TaskRequest:
    return TaskRequest(type="text.generate", input={"prompt": prompt}, priority=priority)


def test_tasks_come_back_in_the_order_of_their_requests(alice: User) -> None:
    wishes = [request(priority, f"{priority}") for priority in (Priority.LOW, Priority.HIGH, Priority.BULK)]

    tasks = submit_all(alice, wishes, now=NOW)

    assert [task.input["prompt"] for task in tasks] == ["3", "1", "4"]
    assert violations() == []


def test_where_one_is_refused_none_is_submitted(alice: User) -> None:
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.update(hard_mark=2)

    with pytest.raises(QueueFull):
        submit_all(alice, [request(Priority.NORMAL)] * 3, now=NOW)

    assert not AIGenerationTask.objects.exists()
    assert not QueueEntry.objects.exists()
    assert not FairShare.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_who_submit_in_opposite_order_do_not_lock_each_other_out(alice: User) -> None:
    upward = [request(priority) for priority in Priority] * 8
    for _ in range(5):
        outcomes = at_once(
            [lambda: len(submit_all(alice, upward, now=NOW)), lambda: len(submit_all(alice, upward[::-1], now=NOW))]
        )

        assert outcomes == [40, 40]


def test_what_a_task_really_used_is_charged_to_its_users_share(alice: User) -> None:
    text_task(alice, max_output_tokens=1000)
    lease = claimed()
    text_task(alice, max_output_tokens=1000)
    reserved = FairShare.objects.get().last_tag / 2

    AIGenerationTask.objects.complete(lease.task.pk, lease.epoch, answer(input_tokens=10, output_tokens=5), now=at(1))

    assert FairShare.objects.get().correction == 15 - reserved
