"""lease.begin: a message that is late, doubled or forged does no harm."""

from uuid import UUID

import pytest
from django.contrib.auth.models import User

from ai_tasks import chunks, lease
from ai_tasks.admission import Dispatch
from ai_tasks.chunks import Piece
from ai_tasks.lease import Lease
from ai_tasks.models import AIGenerationTask, Chunk
from config.chaos.invariants import violations
from providers import control
from providers.errors import Unavailable
from queueing.models import QueueEntry, TaskQueue
from tests.engine import (
    NOW,
    OTHER_WORKER,
    WORKER,
    at,
    at_once,
    attempt_of,
    claimed,
    entry_of,
    fresh,
    plan,
    text_task,
)

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def begin(dispatch: Dispatch, *, worker: UUID = WORKER, seconds: float = 1, **changes: object) -> Lease | None:
    wanted = {"task_id": dispatch.task_id, "epoch": dispatch.epoch, "dispatch_id": dispatch.dispatch_id} | changes
    return lease.begin(tasks.all(), **wanted, worker=worker, now=at(seconds))  # type: ignore[arg-type]


@pytest.fixture
def dispatch(alice: User) -> Dispatch:
    text_task(alice)
    return plan().dispatches[0]


def test_a_handed_over_task_begins(dispatch: Dispatch) -> None:
    found = begin(dispatch)

    assert found is not None
    assert (found.epoch, found.next_seq, found.task.status) == (1, 1, "processing")
    assert violations() == []


def test_a_doubled_message_begins_once(dispatch: Dispatch) -> None:
    begin(dispatch)

    assert begin(dispatch, worker=OTHER_WORKER) is None
    assert QueueEntry.objects.get().worker == WORKER


@pytest.mark.parametrize("forged", [{"epoch": 0}, {"epoch": 2}, {"dispatch_id": UUID(int=5)}, {"task_id": UUID(int=6)}])
def test_a_message_of_another_lease_begins_nothing(dispatch: Dispatch, forged: dict[str, object]) -> None:
    assert begin(dispatch, **forged) is None

    assert QueueEntry.objects.get().state == "queued"
    assert violations() == []


def test_a_late_message_begins_nothing(dispatch: Dispatch) -> None:
    lease.give_back(tasks.all(), QueueEntry.objects.get(), NOW)
    plan()

    assert begin(dispatch) is None
    assert entry_of(tasks.get()).epoch == 2


@pytest.mark.parametrize("gate", ["pause", "circuit", "retry_after"])
def test_a_gate_that_closed_since_gives_the_entry_back_and_uses_up_no_try(dispatch: Dispatch, gate: str) -> None:
    if gate == "pause":
        TaskQueue.objects.pause("simulator", reason="", now=NOW)
    elif gate == "circuit":
        control.trip("simulator", cause="unavailable", now=NOW)
    else:
        control.block("simulator", until=at(20), now=NOW)

    assert begin(dispatch) is None

    task = tasks.get()
    assert (entry_of(task).state, task.status, attempt_of(task).state) == ("waiting", "pending", "released")
    assert (task.tries, task.infrastructure_tries, task.crashes, task.deferrals) == (0, 0, 0, 1)
    assert violations() == []


def test_the_probe_of_a_half_open_circuit_begins(alice: User) -> None:
    text_task(alice)
    control.trip("simulator", cause="unavailable", now=NOW)
    (probe,) = plan(now=at(6)).dispatches

    assert begin(probe, seconds=7) is not None


def test_another_attempt_says_that_the_stream_begins_anew(alice: User) -> None:
    task = text_task(alice)
    first = claimed()
    chunks.write(task, [Piece(1, 1, "text", "The "), Piece(2, 1, "text", "Rh")])
    tasks.fail(task.pk, first.epoch, Unavailable(), now=at(1))

    second = claimed(now=at(70))

    assert second.next_seq == 4
    assert Chunk.objects.after(task.pk, 2) == [Piece(3, 2, "reset", "unavailable")]


def test_an_attempt_after_one_that_said_nothing_resets_nothing(alice: User) -> None:
    task = text_task(alice)
    tasks.fail(task.pk, claimed().epoch, Unavailable(), now=at(1))

    assert claimed(now=at(70)).next_seq == 1
    assert Chunk.objects.after(task.pk, 0) == []


def test_two_silent_restarts_say_so_once(alice: User) -> None:
    task = text_task(alice)
    first = claimed()
    chunks.write(task, [Piece(1, 1, "text", "The ")])
    tasks.release_task(task.pk, first.epoch, now=at(1))
    second = claimed(now=at(2))
    tasks.release_task(task.pk, second.epoch, now=at(3))

    third = claimed(now=at(4))

    assert third.next_seq == 3
    assert [piece.kind for piece in Chunk.objects.after(task.pk, 0)] == ["text", "reset"]


@pytest.mark.django_db(transaction=True)
def test_of_many_who_take_the_same_message_one_begins(dispatch: Dispatch) -> None:
    outcomes = at_once([lambda: begin(dispatch)] * 6)

    assert sum(isinstance(each, Lease) for each in outcomes) == 1, outcomes
    assert fresh(tasks.get()).status == "processing"
    assert violations() == []
