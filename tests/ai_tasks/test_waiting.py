"""waiting.explain: every pending task says why it waits."""

from datetime import datetime

import pytest
from django.contrib.auth.models import User

from ai_tasks import waiting
from ai_tasks.models import AIGenerationTask, WorkerProcess
from ai_tasks.representation import task_json
from ai_tasks.waiting import Waiting
from providers import control
from providers.errors import StreamCut
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


def test_used_tokens_say_so_and_when_there_are_some(alice: User, worker: None, set_limits: SetLimits) -> None:
    set_limits(tokens_per_minute=150)
    text_task(alice, max_output_tokens=100)
    claimed()
    task = text_task(alice, max_output_tokens=100)

    assert (why(task, at(2)).reason, why(task, at(2)).until) == ("tokens_per_minute", at(61))


def test_a_full_long_lane_says_so(alice: User, worker: None, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=4)
    tasks = [text_task(alice) for _ in range(3)]
    TaskQueue.objects.queue("simulator", "long")
    AIGenerationTask.objects.update(lane="long")
    QueueEntry.objects.update(lane="long")
    plan()

    assert QueueEntry.objects.queued().count() == 2
    assert why(tasks[2]).reason == "lane_share"


def test_a_full_broker_says_so(alice: User, worker: None) -> None:
    tasks = [text_task(alice) for _ in range(33)]
    plan()

    assert why(tasks[32]).reason == "handing_over"


def test_a_parked_one_says_what_for_and_when_it_is_looked_at_again(
    alice: User, bob: User, worker: None, set_limits: SetLimits
) -> None:
    set_limits(tokens_per_minute=100_000)
    set_limits("sim-large", max_concurrency=1)
    for lane in ("default", "long"):
        TaskQueue.objects.queue("simulator", lane)
    TaskQueue.objects.update(user_slots=1)
    text_task(bob, model="simulator/sim-large", serial_key="series")
    text_task(alice)
    plan()
    waiting_for = {
        "unsatisfiable": text_task(alice, max_output_tokens=120_000),
        "earlier_reply": text_task(bob, serial_key="series"),
        "user_share": text_task(alice),
    }
    plan()
    TaskQueue.objects.update(user_slots=None)
    waiting_for["model_limit"] = text_task(alice, model="simulator/sim-large")
    plan()

    assert {word: why(task).reason for word, task in waiting_for.items()} == {word: word for word in waiting_for}
    assert {word: why(task).until for word, task in waiting_for.items()} == {
        **dict.fromkeys(waiting_for),
        "model_limit": at(5),
    }


def test_one_that_failed_says_when_it_is_tried_again(alice: User, worker: None) -> None:
    task = text_task(alice)
    lease = claimed()
    AIGenerationTask.objects.fail(task.pk, lease.epoch, StreamCut(), now=at(1))
    task.refresh_from_db()
    until = QueueEntry.objects.get().parked_until

    assert (why(task, at(1)).reason, why(task, at(1)).until) == ("retry_backoff", until)
    assert why(task, at(1)).expected_start == until


def test_what_nobody_knows_the_end_of_has_no_expected_start(alice: User, worker: None) -> None:
    for second in (0, 10, 20):
        text_task(alice)
        claimed(now=at(second))
    task = text_task(alice)
    TaskQueue.objects.pause("simulator", reason="", now=NOW)
    paused = why(task, at(30))
    WorkerProcess.objects.all().delete()
    TaskQueue.objects.resume("simulator")
    waiting.forget()

    assert (paused.reason, paused.expected_start) == ("paused", None)
    assert (why(task, at(30)).reason, why(task, at(30)).expected_start) == ("no_worker", None)


def test_each_lane_says_its_own_pause(alice: User, worker: None) -> None:
    task = text_task(alice)
    TaskQueue.objects.pause("simulator", reason="", until=at(60), now=NOW)
    TaskQueue.objects.filter(lane="long").update(paused_until=at(999))

    assert why(task).until == at(60)


def test_position_and_order_agree(alice: User, bob: User, worker: None) -> None:
    tasks = [text_task(owner) for owner in (alice, alice, bob, alice)]
    tasks.append(text_task(bob, priority=Priority.HIGH))
    order = [entry.task_id for entry in TaskQueue.objects.peek("simulator", 5, now=NOW)]

    assert [why(task).position for task in tasks] == [order.index(task.pk) + 1 for task in tasks]


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
