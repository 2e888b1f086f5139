"""Edit, then redrive: a new task that names the old one."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks.errors import InvalidInput, NotPossible, TaskError, UnknownModel
from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives.edited import redrive_edited
from config.chaos.invariants import violations, violations_at_rest
from queueing.models import DeadLetter, QueueEntry, TaskQueue
from queueing.states import Priority
from tests.ai_tasks.graves import bury, letter_of
from tests.engine import answer, at, at_once, claimed, fresh

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects

WISH = {"related_type": "order", "related_id": "7", "metadata": {"team": "sales"}, "priority": Priority.LOW}


def test_the_copy_is_changed_where_asked_and_otherwise_as_the_old_one_was(alice: User) -> None:
    old = bury(alice, **WISH)[0]

    copy = redrive_edited(old, {"input": {"prompt": "Name a lake."}, "model": "simulator/sim-large"}, now=at(1))

    assert (copy.pk != old.pk, copy.redriven_from_id, copy.owner) == (True, old.pk, alice)
    assert (copy.input, copy.model) == ({"prompt": "Name a lake."}, "sim-large")
    assert (copy.related_id, copy.metadata, copy.priority) == ("7", {"team": "sales"}, Priority.LOW)
    assert (copy.status, copy.epoch) == ("pending", 0)


def test_the_old_one_stays_dead_and_its_letter_names_the_copy(alice: User) -> None:
    old = bury(alice)[0]

    copy = redrive_edited(old, {"priority": Priority.HIGH}, by="carol", reason="Sooner.", now=at(1))

    letter = letter_of(old)
    assert fresh(old).status == "failed"
    assert (letter.resolution, letter.new_task_id) == ("redriven", copy.pk)
    assert (letter.resolved_by, letter.resolution_reason) == ("carol", "Sooner.")
    tasks.complete(copy.pk, claimed(now=at(2)).epoch, answer(), now=at(3))
    assert violations_at_rest() == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"input": {"promt": "x"}}, InvalidInput),
        ({"model": "nobody/m"}, UnknownModel),
        ({"owner": 1}, InvalidInput),
        ({"serial_key": "x"}, InvalidInput),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    alice: User, changes: dict[str, Any], error: type[TaskError]
) -> None:
    old = bury(alice)[0]

    with pytest.raises(error):
        redrive_edited(old, changes, now=at(1))

    assert (tasks.count(), QueueEntry.objects.count(), letter_of(old).resolution) == (1, 0, "open")


def test_only_an_open_letter_is_redriven_and_once(alice: User) -> None:
    old, discarded, deleted = bury(alice, 3)
    redrive_edited(old, {}, now=at(1))
    TaskQueue.objects.discard_from_dlq([discarded.pk], by="bob", reason="Old.", now=at(1))
    tasks.filter(pk=deleted.pk).update(deleted_at=at(0))

    for task in (old, discarded, deleted):
        with pytest.raises(NotPossible):
            redrive_edited(task, {}, now=at(2))

    assert tasks.pending().count() == 1


def test_a_reply_of_a_chat_is_not_edited(alice: User) -> None:
    old = bury(alice, type="chat.reply", input={"session_id": "x", "message_id": "y"})[0]

    with pytest.raises(NotPossible):
        redrive_edited(old, {}, now=at(1))


@pytest.mark.django_db(transaction=True)
def test_of_many_who_redrive_edited_at_once_one_does(alice: User) -> None:
    old = bury(alice)[0]

    outcomes = at_once([lambda: redrive_edited(old, {}, now=at(1)).status] * 4)

    assert sum(isinstance(each, NotPossible) for each in outcomes) == 3, outcomes
    assert tasks.count() == 2
    assert DeadLetter.objects.open().count() == 0
    assert violations() == []
