"""execution.run: begin, call, settle, with the simulated provider scripted."""

import threading
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import clock, execution
from ai_tasks.models import AIGenerationTask, Attempt, Chunk, LedgerEntry
from ai_tasks.progress import DRAINED, ticker
from ai_tasks.states import TaskStatus
from ai_tasks.submission import cancel
from config.chaos.invariants import violations, violations_at_rest
from queueing.models import DeadLetter, QueueEntry
from tests.engine import at_once, attempt_of, fresh, plan, run_admitted, text_task
from tests.flows.client import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]
tasks = AIGenerationTask.objects


def submitted(owner: User, **script: Any) -> AIGenerationTask:
    simulate = {"latency_ms": 0, "tokens_per_second": 0, **script}
    return text_task(owner, simulate=simulate, now=clock.now())


def run_in_thread() -> threading.Thread:
    """Run what is admitted in a thread, and wait until its call is in the air."""
    (dispatch,) = plan(now=clock.now()).dispatches
    thread = threading.Thread(
        target=lambda: at_once([lambda: execution.run(dispatch.task_id, dispatch.epoch, dispatch.dispatch_id)])
    )
    thread.start()
    eventually(lambda: any(call.future for call in ticker.calls()))
    return thread


def test_an_answer_is_stored_streamed_and_paid(alice: User) -> None:
    task = submitted(alice, text="The river Rhine. ラインの流れ 🏞")

    assert run_admitted() == 1

    done = fresh(task)
    streamed = "".join(piece.data for piece in Chunk.objects.after(task.pk, 0))
    assert done.output == {"text": "The river Rhine. ラインの流れ 🏞", "finish_reason": "stop", "truncated": False}
    assert streamed == done.output["text"]
    assert attempt_of(task).first_token_at is not None
    assert done.cost_usd == LedgerEntry.objects.get().amount_usd
    assert violations_at_rest() == []


def test_a_message_of_nobody_runs_nothing(alice: User) -> None:
    task = submitted(alice)
    (dispatch,) = plan(now=clock.now()).dispatches

    assert not execution.run(dispatch.task_id, dispatch.epoch + 1, dispatch.dispatch_id)
    assert fresh(task).status == TaskStatus.PENDING


def test_an_answer_is_cut_at_its_cap_and_says_so(alice: User) -> None:
    task = text_task(
        alice, simulate={"output_tokens": 50, "tokens_per_second": 0}, max_output_tokens=5, now=clock.now()
    )

    run_admitted()

    output = fresh(task).output
    assert output is not None
    assert (output["finish_reason"], output["truncated"]) == ("length", True)


def test_a_cut_stream_is_tried_again_and_its_text_begins_anew(alice: User) -> None:
    task = submitted(alice, text="The river Rhine.", fail="cut", fail_after_tokens=2, fail_times=1)

    run_admitted()
    QueueEntry.objects.all().wake()
    run_admitted()

    pieces = Chunk.objects.after(task.pk, 0)
    after_reset = [piece.data for piece in pieces[1 + [piece.kind for piece in pieces].index("reset") :]]
    assert (fresh(task).status, fresh(task).tries) == (TaskStatus.COMPLETED, 1)
    assert "".join(after_reset) == "The river Rhine."
    assert [piece.seq for piece in pieces] == list(range(1, len(pieces) + 1))
    assert LedgerEntry.objects.count() == 2
    assert violations_at_rest() == []


@pytest.mark.parametrize("fail", ["refusal", "authentication_failed", "context_window_exceeded"])
def test_what_will_never_work_is_a_dead_letter(alice: User, fail: str) -> None:
    task = submitted(alice, fail=fail)

    run_admitted()

    assert fresh(task).status == TaskStatus.FAILED
    assert DeadLetter.objects.get().attempts == 1
    assert violations_at_rest() == []


def test_a_fallback_answers(alice: User, second_provider: None) -> None:
    task = text_task(alice, model="both", simulate={"fail": "unavailable", "fail_times": 1}, now=clock.now())

    run_admitted()
    run_admitted("second")

    assert (fresh(task).status, fresh(task).provider) == (TaskStatus.COMPLETED, "second")
    assert [attempt.provider for attempt in Attempt.objects.order_by("epoch")] == ["simulator", "second"]


def test_a_wrong_script_fails_without_a_try(alice: User) -> None:
    task = submitted(alice, latency_ms=-1)

    run_admitted()

    error = fresh(task).error
    assert error is not None
    assert error["code"] == "bad_request"
    assert violations_at_rest() == []


def test_a_running_call_stops_when_its_task_is_cancelled(alice: User) -> None:
    task = submitted(alice, text="The river Rhine.", fail="stall", fail_after_tokens=3)
    thread = run_in_thread()
    eventually(lambda: Chunk.objects.last_seq(task.pk))

    cancel(task)
    thread.join(timeout=60)

    stopped = fresh(task)
    assert stopped.status == TaskStatus.CANCELLED
    assert stopped.output is not None
    assert stopped.output["text"] == "".join(piece.data for piece in Chunk.objects.after(task.pk, 0))
    assert stopped.output["finish_reason"] == "cancelled"
    assert (LedgerEntry.objects.get().output_tokens or 0) > 0
    assert violations_at_rest() == []


def test_a_call_of_a_draining_process_is_handed_back_and_uses_up_no_try(alice: User) -> None:
    task = submitted(alice, fail="stall")
    thread = run_in_thread()

    ticker.stop_all(DRAINED)
    thread.join(timeout=60)

    assert (fresh(task).status, fresh(task).tries, fresh(task).deferrals) == (TaskStatus.PENDING, 0, 1)
    assert violations() == []


def test_a_stalled_call_ends_with_its_deadline(alice: User) -> None:
    task = text_task(alice, simulate={"fail": "stall"}, deadline_seconds=3, now=clock.now())

    run_admitted()

    assert fresh(task).status == TaskStatus.TIMED_OUT
    assert violations_at_rest() == []


def test_a_call_whose_lease_was_taken_away_writes_nothing_more(alice: User) -> None:
    task = submitted(alice, text="a b c d e f", fail="stall", fail_after_tokens=2)
    thread = run_in_thread()
    eventually(lambda: Chunk.objects.last_seq(task.pk))
    tasks.release_task(task.pk, 1)
    before = Chunk.objects.after(task.pk, 0)

    (call,) = ticker.calls()
    call.stop("lost")
    thread.join(timeout=60)

    assert Chunk.objects.after(task.pk, 0) == before
    assert (fresh(task).status, LedgerEntry.objects.count()) == (TaskStatus.PENDING, 1)
    assert violations() == []


def test_many_calls_at_once_each_end_once(alice: User, bob: User) -> None:
    for number in range(12):
        submitted(
            (alice, bob)[number % 2], text=f"Answer {number}.", fail="cut" if number % 3 == 0 else "", fail_times=1
        )

    for _ in range(2):
        found = plan(now=clock.now()).dispatches
        at_once([lambda each=each: execution.run(each.task_id, each.epoch, each.dispatch_id) for each in found])  # type: ignore[misc]
        QueueEntry.objects.all().wake()

    assert tasks.count_by_status()["completed"] == 12
    assert LedgerEntry.objects.count() == Attempt.objects.count() == 16
    assert violations_at_rest() == []
