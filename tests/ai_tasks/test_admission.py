"""admission.plan: every gate, counted from rows; each refusal with its reason."""

import pytest
from django.contrib.auth.models import User

from ai_tasks.models import AIGenerationTask
from config.chaos.invariants import violations
from providers import control
from providers.errors import RateLimited
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Priority
from tests.ai_tasks.conftest import MakeBudget, SetLimits
from tests.engine import NOW, admitted, answer, at, attempt_of, claimed, entry_of, fresh, plan, several, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def finish(epoch: int, task: AIGenerationTask, seconds: float) -> None:
    assert tasks.complete(task.pk, epoch, answer(), now=at(seconds))


def test_an_admitted_entry_is_queued_with_its_epoch_one_higher_and_an_attempt(alice: User) -> None:
    task = text_task(alice)

    (dispatch,) = plan().dispatches

    entry, attempt = entry_of(task), attempt_of(task)
    assert (entry.state, entry.epoch, entry.dispatch_id) == ("queued", 1, dispatch.dispatch_id)
    assert (fresh(task).status, fresh(task).epoch) == ("pending", 1)
    assert (attempt.state, attempt.dispatch_id, attempt.started_at) == ("admitted", dispatch.dispatch_id, None)
    assert attempt.reserved_tokens == entry.estimate_tokens > 0
    assert violations() == []


def test_nothing_is_admitted_twice(alice: User) -> None:
    several(alice, 3)

    assert (admitted(plan()), admitted(plan())) == (3, 0)


def test_concurrency_counts_what_is_queued_and_what_runs(alice: User, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=3)
    several(alice, 5)
    claimed()

    assert admitted(plan()) == 2
    assert admitted(plan()) == 0


def test_an_ended_attempt_frees_its_slot(alice: User, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=1)
    several(alice, 2)
    lease = claimed()
    assert admitted(plan()) == 0

    finish(lease.epoch, lease.task, 1)

    assert admitted(plan(now=at(1))) == 1


def test_a_concurrency_of_zero_admits_nothing(alice: User, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=0)
    several(alice, 1, priority=Priority.URGENT)

    assert admitted(plan()) == 0


def test_requests_per_minute_count_queued_and_started_ones_in_every_sliding_minute(
    alice: User, set_limits: SetLimits
) -> None:
    set_limits(requests_per_minute=3)
    several(alice, 6)
    lease = claimed()
    finish(lease.epoch, lease.task, 1)

    assert admitted(plan(now=at(30))) == 2
    assert admitted(plan(now=at(60))) == 0
    assert admitted(plan(now=at(61.5))) == 1


def test_a_call_that_waited_in_the_broker_counts_from_its_start(alice: User, set_limits: SetLimits) -> None:
    set_limits(requests_per_minute=1)
    several(alice, 2)
    (dispatch,) = plan().dispatches
    assert admitted(plan(now=at(300))) == 0, "it is queued still"

    from_lease = tasks.get(pk=dispatch.task_id)
    QueueEntry.objects.filter(task_id=from_lease.pk).update(queued_at=at(300))

    assert admitted(plan(now=at(500))) == 0


def test_tokens_per_minute_count_reservations_of_queued_ones(alice: User, set_limits: SetLimits) -> None:
    tokens = entry_of(text_task(alice, max_output_tokens=100)).estimate_tokens
    set_limits(tokens_per_minute=tokens * 3)
    several(alice, 5, max_output_tokens=100)

    assert admitted(plan()) == 3


def test_tokens_per_minute_count_the_larger_of_reserved_and_used(alice: User, set_limits: SetLimits) -> None:
    tokens = entry_of(text_task(alice, max_output_tokens=100)).estimate_tokens
    set_limits(tokens_per_minute=tokens * 3)
    several(alice, 5, max_output_tokens=100)
    lease = claimed()
    tasks.complete(lease.task.pk, lease.epoch, answer(input_tokens=tokens * 2, output_tokens=1), now=at(1))

    assert admitted(plan(now=at(2))) == 0
    assert admitted(plan(now=at(62))) == 3


def test_a_large_prompt_at_the_head_is_not_starved_by_small_ones_behind_it(alice: User, set_limits: SetLimits) -> None:
    set_limits(tokens_per_minute=1000)
    several(alice, 1, max_output_tokens=400)
    several(alice, 1, max_output_tokens=900)
    several(alice, 3, max_output_tokens=10)

    assert admitted(plan()) == 1


def test_what_is_larger_than_the_bucket_is_parked_and_hides_nobody(alice: User, set_limits: SetLimits) -> None:
    set_limits(tokens_per_minute=500)
    large, small = text_task(alice, max_output_tokens=600), text_task(alice, max_output_tokens=100)

    assert [each.task_id for each in plan().dispatches] == [small.pk]

    entry = entry_of(large)
    assert (entry.state, entry.parked_reason, entry.parked_key) == ("parked", "unsatisfiable", "simulator/sim-1")


def test_a_models_own_limit_parks_and_lets_other_models_pass(alice: User, set_limits: SetLimits) -> None:
    set_limits("sim-1", max_concurrency=1)
    first, second = several(alice, 2)
    other = text_task(alice, model="simulator/sim-large")

    assert [each.task_id for each in plan().dispatches] == [first.pk, other.pk]

    entry = entry_of(second)
    assert (entry.parked_reason, entry.parked_key) == ("model_limit", "simulator/sim-1")
    assert entry.parked_until is not None


def test_what_is_parked_for_a_model_is_woken_by_the_slot_that_is_freed(alice: User, set_limits: SetLimits) -> None:
    set_limits("sim-1", max_concurrency=1)
    several(alice, 2)
    lease = claimed()
    plan()

    finish(lease.epoch, lease.task, 1)

    assert admitted(plan(now=at(1))) == 1


def test_a_models_requests_per_minute_park_until_the_window_has_room(alice: User, set_limits: SetLimits) -> None:
    set_limits("sim-1", requests_per_minute=1)
    _, second = several(alice, 2)
    claimed()
    plan()

    assert entry_of(second).parked_until == at(61)
    assert admitted(plan(now=at(61.5))) == 1


def test_nothing_is_admitted_while_paused(alice: User) -> None:
    several(alice, 2)
    TaskQueue.objects.pause("simulator", reason="", until=at(60), now=NOW)

    paused = plan()

    assert admitted(paused) == 0
    assert paused.next_wake_at is not None
    assert paused.next_wake_at <= at(60)
    assert admitted(plan(now=at(60))) == 2


def test_nothing_is_admitted_while_the_circuit_is_open_then_one_probe(alice: User) -> None:
    several(alice, 3)
    control.trip("simulator", cause="unavailable", now=NOW)

    assert admitted(plan(now=at(1))) == 0
    assert admitted(plan(now=at(6))) == 1
    assert admitted(plan(now=at(7))) == 0


def test_nothing_is_admitted_until_retry_after_is_over(alice: User) -> None:
    several(alice, 2)
    control.block("simulator", until=at(20), now=NOW)

    assert admitted(plan(now=at(19))) == 0
    assert admitted(plan(now=at(20))) == 2


def test_nothing_is_admitted_without_a_worker(alice: User) -> None:
    several(alice, 1)

    assert admitted(plan(threads=0)) == 0


def test_no_more_is_admitted_than_workers_have_free_threads(alice: User) -> None:
    several(alice, 5)

    assert admitted(plan(threads=2)) == 2
    assert admitted(plan(threads=2)) == 0


def test_only_a_bounded_number_stands_in_the_broker(alice: User) -> None:
    several(alice, 40)

    assert sum(admitted(plan(limit=100)) for _ in range(3)) == 32


def test_of_a_serial_key_one_is_admitted(alice: User) -> None:
    first, second = several(alice, 2, serial_key="series")

    assert [each.task_id for each in plan().dispatches] == [first.pk]

    entry = entry_of(second)
    assert (entry.parked_reason, entry.parked_key) == ("earlier_reply", "series")


def test_the_next_of_a_series_is_woken_by_the_end_of_the_first(alice: User) -> None:
    _, second = several(alice, 2, serial_key="series")
    lease = claimed()
    plan()

    finish(lease.epoch, lease.task, 1)

    assert [each.task_id for each in plan(now=at(1)).dispatches] == [second.pk]


def test_an_urgent_entry_is_next(alice: User, set_limits: SetLimits) -> None:
    set_limits(max_concurrency=1)
    several(alice, 3, priority=Priority.HIGH)
    urgent = text_task(alice, priority=Priority.URGENT)

    assert [each.task_id for each in plan().dispatches] == [urgent.pk]


def test_a_hundred_refused_heads_do_not_hide_a_runnable_entry(alice: User, bob: User, make_budget: MakeBudget) -> None:
    several(alice, 120, max_output_tokens=1000)
    make_budget("0.000001", "user", str(alice.pk))
    runnable = text_task(bob, max_output_tokens=4000)

    assert [each.task_id for each in plan().dispatches] == [runnable.pk]


def test_the_429_of_a_provider_closes_its_gate_for_everybody(alice: User) -> None:
    several(alice, 2)
    lease = claimed()

    tasks.fail(lease.task.pk, lease.epoch, RateLimited(retry_after_seconds=30), now=at(1))

    assert admitted(plan(now=at(30))) == 0
    assert admitted(plan(now=at(31.5))) == 2


def test_a_plan_says_when_to_look_again(alice: User, set_limits: SetLimits) -> None:
    assert plan().next_wake_at is None
    set_limits(requests_per_minute=1)
    text_task(alice, run_at=at(40))
    several(alice, 2)

    claimed()
    wake = plan().next_wake_at

    assert wake is not None
    assert wake <= at(61)
