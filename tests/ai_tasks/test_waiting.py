"""waiting.explain: every pending task says why it waits."""

from datetime import datetime

import pytest
from django.contrib.auth.models import User

from ai_tasks import waiting
from ai_tasks.models import AIGenerationTask, WorkerProcess
from ai_tasks.representation import task_json
from ai_tasks.waiting import Waiting
from providers import control
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Priority
from tests.ai_tasks.conftest import MakeBudget, SetLimits
from tests.engine import NOW, WORKER, answer, at, claimed, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


@pytest.fixture
def worker(db: None) -> None:
    """A live worker of both lanes."""
    WorkerProcess.objects.create(
        boot_id=WORKER,
        hostname="here",
        pid=1,
        queues=["ai.simulator.default", "ai.simulator.long"],
        threads=100,
        started_at=NOW,
        last_seen_at=at(1000),
    )


def why(task: AIGenerationTask, now: datetime = NOW) -> Waiting:
    return waiting.explain([task], now)[task.pk]


def test_the_next_one_is_first_in_turn(alice: User, worker: None) -> None:
    task = text_task(alice)

    assert (why(task).reason, why(task).position) == ("in_turn", 1)


def test_a_position_counts_what_comes_before(alice: User, worker: None) -> None:
    for _ in range(3):
        text_task(alice, priority=Priority.URGENT)
    task = text_task(alice)

    assert why(task).position == 4


def test_without_a_worker_it_says_so(alice: User) -> None:
    assert why(text_task(alice)).reason == "no_worker"


def test_a_paused_queue_says_so_and_until_when(alice: User, worker: None) -> None:
    task = text_task(alice)
    TaskQueue.objects.pause("simulator", reason="", until=at(60), now=NOW)

    assert (why(task).reason, why(task).until) == ("paused", at(60))


def test_an_open_circuit_says_so_and_until_when(alice: User, worker: None) -> None:
    task = text_task(alice)
    control.trip("simulator", cause="unavailable", now=NOW)

    assert (why(task).reason, why(task).until) == ("circuit_open", at(5))


def test_a_retry_after_says_so_and_until_when(alice: User, worker: None) -> None:
    task = text_task(alice)
    control.block("simulator", until=at(20), now=NOW)

    assert (why(task).reason, why(task).until) == ("provider_retry_after", at(20))


def test_full_slots_say_so(alice: User, worker: None, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=1)
    text_task(alice)
    claimed()

    assert why(text_task(alice)).reason == "concurrency"


def test_a_used_minute_says_so_and_when_it_has_room(alice: User, worker: None, set_limits: SetLimits) -> None:
    set_limits(requests_per_minute=1)
    text_task(alice)
    lease = claimed()
    AIGenerationTask.objects.complete(lease.task.pk, lease.epoch, answer(), now=at(1))
    task = text_task(alice, now=at(2))

    assert (why(task, at(2)).reason, why(task, at(2)).until) == ("requests_per_minute", at(61))


def test_parked_ones_say_their_own_reason(alice: User, worker: None, make_budget: MakeBudget) -> None:
    scheduled = text_task(alice, run_at=at(60))
    poor = text_task(alice)
    make_budget("0.000001")
    plan()

    assert (why(scheduled).reason, why(scheduled).expected_start) == ("scheduled", at(60))
    assert why(poor).reason == "budget"
    assert why(poor).position is None


def test_a_handed_over_one_is_starting(alice: User, worker: None) -> None:
    task = text_task(alice)
    plan()

    assert why(task).reason == "starting"


def test_what_does_not_wait_is_left_out(alice: User, worker: None) -> None:
    text_task(alice)
    task = claimed().task
    task.refresh_from_db()

    assert waiting.explain([task], NOW) == {}
    assert task_json(task, now=NOW)["waiting"] is None


def test_the_expected_start_follows_the_starts_of_the_last_minutes(alice: User, worker: None) -> None:
    for second in (0, 10, 20):
        text_task(alice)
        claimed(now=at(second))
    text_task(alice)
    task = text_task(alice)

    assert why(task, at(30)).expected_start == at(30 + 2 * 10)


def test_a_page_of_tasks_is_explained_in_a_bounded_number_of_queries(
    alice: User, worker: None, django_assert_max_num_queries: object
) -> None:
    page = [text_task(alice) for _ in range(20)]

    with django_assert_max_num_queries(60):  # type: ignore[operator]
        found = waiting.explain(page, NOW)

    assert len(found) == QueueEntry.objects.count() == 20
