"""Every pair of ENTRY_MOVES: what is allowed is reached by a verb, what is not is reached by none."""

from collections.abc import Callable
from itertools import product
from uuid import UUID

import pytest

from queueing.models import QueueEntry, TaskQueue
from queueing.states import ENTRY_MOVES, LIVE_AT_PROVIDER, EntryState, Lane, ParkedReason, Priority
from tests.engine import NOW, WORKER, at
from tests.queueing.conftest import Enqueue, Job

LEASED = {"dispatch_id": UUID(int=9), "queued_at": NOW, "epoch": 1}
SET_UP: dict[EntryState, dict[str, object]] = {
    EntryState.WAITING: {},
    EntryState.PARKED: {"parked_reason": ParkedReason.BUDGET, "parked_key": "1", "parked_until": at(-1)},
    EntryState.QUEUED: LEASED,
    EntryState.RUNNING: LEASED | {"worker": WORKER, "leased_until": at(90)},
}
VERBS: dict[str, Callable[[QueueEntry], object]] = {
    "dequeue": lambda entry: TaskQueue.objects.dequeue("simulator", worker=WORKER, now=NOW),
    "peek": lambda entry: TaskQueue.objects.peek("simulator", now=NOW),
    "remove": lambda entry: TaskQueue.objects.remove(entry.task_id, now=NOW),
    "forget": lambda entry: TaskQueue.objects.forget(entry),
    "reorder": lambda entry: TaskQueue.objects.reorder_by_priority({entry.task_id: Priority.HIGH}),
    "wake the due": lambda entry: QueueEntry.objects.due(NOW).wake(),
    "wake the key": lambda entry: QueueEntry.objects.wake_key(ParkedReason.BUDGET, "1"),
    "pause": lambda entry: TaskQueue.objects.pause("simulator", reason="", now=NOW),
    "bury": lambda entry: TaskQueue.objects.move_to_dlq(Job(id=entry.task_id), "operator", now=NOW),
}


@pytest.mark.parametrize(("verb", "state"), list(product(VERBS, EntryState)))
def test_no_verb_of_the_queue_makes_a_move_that_is_not_in_the_table(
    enqueue: Enqueue, verb: str, state: EntryState
) -> None:
    entry = enqueue()
    QueueEntry.objects.filter(pk=entry.pk).update(state=state, **SET_UP[state])
    entry.refresh_from_db()

    VERBS[verb](entry)

    after = QueueEntry.objects.filter(pk=entry.pk).first()
    assert after is None or after.state == state or EntryState(after.state) in ENTRY_MOVES[state]


def test_the_table_knows_every_state() -> None:
    assert set(ENTRY_MOVES) == set(EntryState)
    assert not [state for state, moves in ENTRY_MOVES.items() if state in moves]


@pytest.mark.parametrize("state", EntryState)
def test_an_entry_of_each_state_can_be_stored(enqueue: Enqueue, state: EntryState) -> None:
    entry = enqueue()

    QueueEntry.objects.filter(pk=entry.pk).update(state=state, **SET_UP[state])

    assert QueueEntry.objects.get().state == state


@pytest.mark.parametrize("word", ["urgent", "high", "normal", "low", "bulk"])
def test_a_priority_has_one_word(word: str) -> None:
    assert Priority.from_word(word).word == word


@pytest.mark.parametrize("word", ["", "URGENT", "Normal", "0", "urgent ", "ürgent"])
def test_other_words_are_no_priority(word: str) -> None:
    with pytest.raises(KeyError):
        Priority.from_word(word)


def test_slots_are_used_by_what_is_queued_or_runs() -> None:
    assert set(LIVE_AT_PROVIDER) == {EntryState.QUEUED, EntryState.RUNNING}
    assert Lane.values == ["default", "long"]
