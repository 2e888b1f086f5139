"""Claiming: claim_next_pending_task, renew, complete, fail, release_task, each fenced by its lease."""

import threading
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User

from ai_tasks.lease import Lease
from ai_tasks.locks import ProviderBusy, take_provider_lock
from ai_tasks.models import AIGenerationTask, Attempt, Chunk, LedgerEntry
from ai_tasks.states import TaskStatus
from config.chaos.invariants import violations, violations_at_rest
from providers.errors import ProviderError, Unavailable
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Priority
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import (
    NOW,
    OTHER_WORKER,
    WORKER,
    Held,
    answer,
    at,
    at_once,
    attempt_of,
    claim,
    claimed,
    fresh,
    plan,
    text_task,
)

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def everything() -> list[Any]:
    models = (AIGenerationTask, QueueEntry, Attempt, Chunk)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_the_best_task_is_claimed_leased_and_processing(alice: User) -> None:
    text_task(alice, priority=Priority.LOW)
    task = text_task(alice, priority=Priority.HIGH)

    lease = claimed()

    entry = QueueEntry.objects.get(task_id=task.pk)
    assert (lease.task, lease.epoch, fresh(task).status) == (task, 1, TaskStatus.PROCESSING)
    assert (entry.state, entry.worker, entry.leased_until) == ("running", WORKER, at(90))
    assert (fresh(task).started_at, attempt_of(task).state) == (NOW, "started")
    assert violations() == []


def test_nothing_is_claimed_where_nothing_waits(alice: User) -> None:
    assert claim() is None
    text_task(alice)
    claimed()
    assert claim() is None


def test_a_task_whose_time_has_not_come_is_not_claimed(alice: User) -> None:
    text_task(alice, run_at=at(60))

    assert claim() is None
    assert claim(now=at(60)) is not None


def test_a_task_refused_by_a_gate_of_its_own_does_not_hide_those_behind_it(
    alice: User, bob: User, make_budget: MakeBudget
) -> None:
    make_budget("0.0005", "user", str(alice.pk))
    mine = [text_task(alice, max_output_tokens=1000) for _ in range(4)]
    behind = text_task(bob, max_output_tokens=4000)

    assert claimed().task == mine[0]
    assert claimed().task == behind
    assert set(QueueEntry.objects.parked().values_list("parked_reason", flat=True)) == {"budget"}


def test_a_paused_provider_gives_no_task(alice: User) -> None:
    text_task(alice)
    TaskQueue.objects.pause("simulator", reason="maintenance", now=NOW)

    assert claim() is None


def test_a_renewed_lease_lasts_longer(alice: User) -> None:
    text_task(alice)
    lease = claimed()

    assert tasks.renew(lease.task.pk, lease.epoch, worker=WORKER, now=at(60))
    assert QueueEntry.objects.get().leased_until == at(150)


def test_a_lease_of_somebody_else_is_not_renewed(alice: User) -> None:
    text_task(alice)
    lease = claimed()
    before = everything()

    assert not tasks.renew(lease.task.pk, lease.epoch, worker=OTHER_WORKER, now=at(60))
    assert not tasks.renew(lease.task.pk, lease.epoch + 1, worker=WORKER, now=at(60)) or before == everything()
    assert QueueEntry.objects.get().worker == WORKER


def test_a_completed_claim_ends_the_task(alice: User) -> None:
    task = text_task(alice)
    lease = claimed()

    assert tasks.complete(task.pk, lease.epoch, answer("The Rhine."), now=at(3))

    done = fresh(task)
    assert (done.status, done.finished_at, done.error) == (TaskStatus.COMPLETED, at(3), None)
    assert done.output == {"text": "The Rhine.", "finish_reason": "stop", "truncated": False}
    assert done.usage is not None
    assert done.usage["total_tokens"] == 15
    assert violations_at_rest() == []


def test_a_failed_claim_is_tried_again(alice: User) -> None:
    task = text_task(alice)
    lease = claimed()

    assert tasks.fail(task.pk, lease.epoch, Unavailable(), now=at(1))

    again = fresh(task)
    assert (again.status, again.infrastructure_tries, again.tries) == (TaskStatus.PENDING, 1, 0)
    assert again.error is not None
    assert again.error["code"] == "unavailable"
    assert violations() == []


def test_a_released_claim_is_pending_again_and_uses_up_no_try(alice: User) -> None:
    task = text_task(alice)
    lease = claimed()

    assert tasks.release_task(task.pk, lease.epoch, now=at(1))

    again = fresh(task)
    assert (again.status, again.tries, again.infrastructure_tries, again.crashes) == (TaskStatus.PENDING, 0, 0, 0)
    assert QueueEntry.objects.get().state == "waiting"
    assert LedgerEntry.objects.get().amount_usd == 0
    assert claimed(now=at(2)).epoch == 2
    assert violations() == []


FINISHES = {
    "complete": lambda task_id, epoch: tasks.complete(task_id, epoch, answer(), now=at(5)),
    "fail": lambda task_id, epoch: tasks.fail(task_id, epoch, Unavailable(), now=at(5)),
    "release": lambda task_id, epoch: tasks.release_task(task_id, epoch, now=at(5)),
    "renew": lambda task_id, epoch: tasks.renew(task_id, epoch, worker=WORKER, now=at(5)),
}


@pytest.mark.parametrize("finish", FINISHES)
def test_a_lost_lease_changes_nothing(alice: User, finish: str) -> None:
    task = text_task(alice)
    lost = claimed()
    tasks.release_task(task.pk, lost.epoch, now=at(1))
    claimed(OTHER_WORKER, now=at(2))
    before = everything()

    assert not FINISHES[finish](task.pk, lost.epoch)

    assert everything() == before
    assert violations() == []


@pytest.mark.parametrize("finish", FINISHES)
def test_an_ended_task_cannot_be_ended_again(alice: User, finish: str) -> None:
    task = text_task(alice)
    lease = claimed()
    tasks.complete(task.pk, lease.epoch, answer(), now=at(1))
    before = everything()

    assert not FINISHES[finish](task.pk, lease.epoch)

    assert everything() == before
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize("finish", FINISHES)
def test_a_task_that_never_was_cannot_be_ended(providers_ready: None, finish: str) -> None:
    assert not FINISHES[finish](UUID(int=77), 1)


@pytest.mark.parametrize("text", ["\x00", "half \ud800 a pair", "🏃" * 1000, "", "a\u2028b"])
def test_any_text_of_an_answer_can_be_stored(alice: User, text: str) -> None:
    task = text_task(alice)
    lease = claimed()

    assert tasks.complete(task.pk, lease.epoch, answer(text), now=at(1))

    output = fresh(task).output
    assert output is not None
    assert output["text"] == text.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")


@pytest.mark.parametrize("message", ["\x00", "half \ud800 a pair", "x" * 100_000])
def test_any_message_of_an_error_can_be_stored(alice: User, message: str) -> None:
    task = text_task(alice)
    lease = claimed()
    error = ProviderError(message)
    error.retryable = False

    assert tasks.fail(task.pk, lease.epoch, error, now=at(1))

    assert fresh(task).status == TaskStatus.FAILED
    assert violations_at_rest() == []


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_never_get_the_same_task(alice: User, bob: User) -> None:
    for owner in (alice, bob):
        for _ in range(8):
            text_task(owner)

    def work(worker: int) -> list[Lease]:
        found = (claim(UUID(int=worker)) for _ in range(5))
        return [lease for lease in found if lease is not None]

    outcomes = at_once([lambda worker=worker: work(worker) for worker in range(1, 5)])  # type: ignore[misc]

    leases = [lease for outcome in outcomes if isinstance(outcome, list) for lease in outcome]
    assert len({lease.task.pk for lease in leases}) == len(leases) == 16, outcomes
    assert violations() == []


@pytest.mark.django_db(transaction=True)
def test_of_many_who_finish_a_task_at_once_one_does(alice: User) -> None:
    task = text_task(alice)
    lease = claimed()

    outcomes = at_once([lambda: tasks.complete(task.pk, lease.epoch, answer(), now=at(1))] * 6)

    assert sorted(map(str, outcomes)) == ["False"] * 5 + ["True"]
    assert LedgerEntry.objects.count() == 1
    assert violations_at_rest() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_claim_waits_while_somebody_else_admits(alice: User) -> None:
    task = text_task(alice)
    others = Held(lambda: take_provider_lock("simulator"))

    with others:
        threading.Timer(1.3, others.end).start()
        lease = claim()

    assert lease is not None
    assert lease.task.pk == task.pk


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_lock_that_does_not_come_in_a_second_says_that_others_admit(alice: User) -> None:
    text_task(alice)

    with Held(lambda: take_provider_lock("simulator")), pytest.raises(ProviderBusy):
        plan()
