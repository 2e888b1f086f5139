"""The sweeps: each idempotent, each predicate repeated, two at once harmless."""

import logging
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import chunks, settlement, sweeps
from ai_tasks.chunks import Piece
from ai_tasks.models import AIGenerationTask, BudgetPeriod, LedgerEntry, WorkerProcess
from ai_tasks.states import TaskStatus
from ai_tasks.submission import cancel
from chat import conversation
from chat.models import ChatMessage, ChatSession
from config.chaos.invariants import violations, violations_at_rest
from providers.models import ProviderLimit
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from tests.ai_tasks.conftest import MakeBudget, SetLimits
from tests.engine import (
    NOW,
    OTHER_WORKER,
    WORKER,
    answer,
    at,
    attempt_of,
    claimed,
    entry_of,
    fresh,
    plan,
    text_task,
)

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def test_a_lost_lease_is_taken_away_and_the_task_waits_again(alice: User) -> None:
    task = text_task(alice)
    claimed()

    assert sweeps.rescue_lost_leases(at(91)) == 1

    assert (fresh(task).status, fresh(task).crashes, entry_of(task).state) == ("pending", 1, "waiting")
    assert (attempt_of(task).state, attempt_of(task).error_class) == ("lost", "worker_lost")
    assert violations() == []


def test_a_lease_that_holds_is_left_alone(alice: User) -> None:
    text_task(alice)
    claimed()

    assert sweeps.rescue_lost_leases(at(90)) == 0


def test_the_rescue_repeats_its_predicate(alice: User) -> None:
    task = text_task(alice)
    lease = claimed()
    seen = entry_of(task)
    tasks.renew(task.pk, lease.epoch, worker=seen.worker, now=at(89))  # type: ignore[arg-type]

    assert not settlement.lose(tasks.all(), seen, at(91))

    assert fresh(task).status == TaskStatus.PROCESSING


def test_a_second_rescue_finds_nothing(alice: User) -> None:
    text_task(alice)
    claimed()
    sweeps.rescue_lost_leases(at(91))

    assert sweeps.rescue_lost_leases(at(91)) == 0


def test_a_lost_task_that_was_to_be_cancelled_is_cancelled(alice: User) -> None:
    task = text_task(alice)
    claimed()
    cancel(task, now=at(1))

    sweeps.rescue_lost_leases(at(91))

    assert fresh(task).status == TaskStatus.CANCELLED


def test_a_lost_message_is_noted_once_in_its_patience_and_keeps_its_dispatch_id(alice: User) -> None:
    task = text_task(alice)
    (dispatch,) = plan().dispatches

    assert sweeps.send_lost_messages(at(9)) == 0
    assert sweeps.send_lost_messages(at(11)) == 1
    assert sweeps.send_lost_messages(at(11)) == 0

    entry = entry_of(task)
    assert (entry.state, entry.epoch, entry.dispatch_id, entry.queued_at) == ("queued", 1, dispatch.dispatch_id, at(11))


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_task_whose_deadline_passes_while_it_waits_times_out(alice: User, handed_over: bool) -> None:
    task = text_task(alice, deadline_seconds=10)
    if handed_over:
        plan()

    assert sweeps.time_out(at(10)) == 0
    assert sweeps.time_out(at(11)) == 1
    assert sweeps.time_out(at(11)) == 0

    assert (fresh(task).status, DeadLetter.objects.get().reason) == (TaskStatus.TIMED_OUT, "deadline")
    assert violations_at_rest() == []


def test_a_running_task_is_not_timed_out_over_its_workers_head(alice: User) -> None:
    text_task(alice, deadline_seconds=10)
    claimed()

    assert sweeps.time_out(at(11)) == 0


def test_a_lost_attempt_is_charged_by_estimate_after_its_grace(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = text_task(alice)
    claimed()
    chunks.write(task, [Piece(1, 1, "text", "The river Rhine.")])
    sweeps.rescue_lost_leases(at(91))

    assert sweeps.charge_lost(at(600)) == 0
    assert sweeps.charge_lost(at(700)) == 1
    assert sweeps.charge_lost(at(700)) == 0

    charge = LedgerEntry.objects.get()
    assert (charge.usage_source, charge.reason) == ("estimated", "its worker was lost")
    assert (charge.input_tokens or 0) >= 9
    assert (charge.output_tokens or 0) >= 5
    assert BudgetPeriod.objects.get().held_usd == 0
    assert BudgetPeriod.objects.get().spent_usd == charge.amount_usd
    assert violations() == []


def test_a_late_result_within_the_grace_leaves_nothing_to_estimate(alice: User) -> None:
    task = text_task(alice)
    lease = claimed()
    sweeps.rescue_lost_leases(at(91))
    tasks.complete(task.pk, lease.epoch, answer(), now=at(100))

    assert sweeps.charge_lost(at(700)) == 0


def test_a_lost_attempt_whose_prompt_is_gone_is_charged_all_the_same(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    session = conversation.start_session(alice)
    conversation.send_message(session, "Hello", now=NOW)
    lease = claimed()
    sweeps.rescue_lost_leases(at(91))
    ChatMessage.objects.all().delete()
    ChatSession.objects.all().delete()

    assert sweeps.charge_lost(at(700)) == 1

    assert LedgerEntry.objects.get(attempt__epoch=lease.epoch).amount_usd is not None
    assert BudgetPeriod.objects.get().held_usd == 0


def test_a_pending_task_without_an_entry_gets_one_and_is_told_of(alice: User, caplog: Any) -> None:
    task = text_task(alice)
    QueueEntry.objects.all().delete()
    AIGenerationTask.objects.update(updated_at=NOW)

    with caplog.at_level(logging.ERROR, logger="ai_tasks.sweeps"):
        assert sweeps.mend_tasks_without_entry(at(31)) == 1

    assert sweeps.mend_tasks_without_entry(at(31)) == 0
    assert str(task.pk) in caplog.text
    assert violations() == []


def test_a_task_that_cannot_be_mended_does_not_keep_others_from_it(alice: User, caplog: Any) -> None:
    broken, whole = text_task(alice), text_task(alice)
    QueueEntry.objects.all().delete()
    AIGenerationTask.objects.filter(pk=broken.pk).update(type="no.such")
    AIGenerationTask.objects.update(updated_at=NOW)

    assert sweeps.mend_tasks_without_entry(at(31)) == 1

    assert QueueEntry.objects.get().task_id == whole.pk
    assert "no.such" in caplog.text


def test_a_series_whose_wake_up_was_lost_goes_on(alice: User) -> None:
    first, second = text_task(alice, serial_key="s"), text_task(alice, serial_key="s")
    plan()
    assert sweeps.wake_series(at(1)) == 0
    QueueEntry.objects.filter(task_id=first.pk).delete()

    assert sweeps.wake_series(at(1)) == 1

    assert entry_of(second).state == "waiting"


def test_what_is_parked_for_money_that_is_there_goes_on(alice: User, make_budget: MakeBudget) -> None:
    task = text_task(alice)
    make_budget("0.000001")
    plan()
    assert entry_of(task).parked_reason == "budget"
    BudgetPeriod.objects.update(limit_usd=0)
    assert sweeps.wake_parked(at(1)) == 0

    BudgetPeriod.objects.update(limit_usd=Decimal(1))

    assert sweeps.wake_parked(at(1)) == 1


def test_what_fits_a_raised_limit_goes_on(alice: User, set_limits: SetLimits) -> None:
    set_limits(tokens_per_minute=100)
    task = text_task(alice, max_output_tokens=200)
    plan()
    assert entry_of(task).parked_reason == "unsatisfiable"
    assert sweeps.wake_parked(at(1)) == 0

    ProviderLimit.objects.update(tokens_per_minute=1000)

    assert sweeps.wake_parked(at(1)) == 1
    assert len(plan(now=at(1)).dispatches) == 1


def test_an_entry_that_was_dequeued_without_its_task_waits_again_after_its_lease(alice: User, caplog: Any) -> None:
    task = text_task(alice)
    TaskQueue.objects.dequeue("simulator", worker=OTHER_WORKER, now=NOW)

    assert sweeps.rescue_lost_leases(at(89)) == 0
    assert sweeps.rescue_lost_leases(at(91)) == 1

    assert (entry_of(task).state, fresh(task).crashes, fresh(task).epoch) == ("waiting", 0, 1)
    assert [each.task_id for each in plan(now=at(92)).dispatches] == [task.pk]
    assert caplog.records == []
    assert violations() == []


def test_whoever_renews_past_the_deadline_loses_the_task_and_it_times_out(alice: User) -> None:
    task = text_task(alice, deadline_seconds=100)
    lease = claimed(WORKER)
    assert tasks.renew(task.pk, lease.epoch, worker=WORKER, now=at(80))

    assert tasks.renew(task.pk, lease.epoch, worker=WORKER, now=at(120)), "there is time to settle"
    assert not tasks.renew(task.pk, lease.epoch, worker=WORKER, now=at(131))
    assert sweeps.rescue_lost_leases(at(211)) == 1

    assert (fresh(task).status, DeadLetter.objects.get().reason) == (TaskStatus.TIMED_OUT, "deadline")
    assert not tasks.complete(task.pk, lease.epoch, answer(), now=at(212))
    assert violations() == []


def test_a_process_that_is_alone_takes_over_everything_at_once(alice: User) -> None:
    for _ in range(3):
        text_task(alice)
    claimed()
    plan()
    WorkerProcess.objects.create(
        boot_id=OTHER_WORKER, hostname="h", pid=1, queues=[], threads=1, started_at=NOW, last_seen_at=NOW
    )

    assert sweeps.rescue_from_dead_processes(at(1)) == 3

    assert set(QueueEntry.objects.values_list("state", flat=True)) == {"waiting"}
    assert not WorkerProcess.objects.exists()
    assert violations() == []
