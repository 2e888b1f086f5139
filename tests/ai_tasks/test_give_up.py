"""submission.give_up: an operator ends what waits, as failed."""

import pytest
from django.contrib.auth.models import User

from ai_tasks.errors import NotPossible
from ai_tasks.states import TaskStatus
from ai_tasks.submission import cancel, give_up, retry
from config.chaos.invariants import violations_at_rest
from queueing.models import DeadLetter, QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import at, attempt_of, claimed, fresh, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")


@pytest.mark.parametrize("where", ["waiting", "parked", "queued"])
def test_what_waits_fails_with_a_dead_letter_and_costs_nothing(
    alice: User, make_budget: MakeBudget, where: str
) -> None:
    make_budget("1")
    task = text_task(alice, run_at=at(60) if where == "parked" else None)
    if where == "queued":
        plan()

    ended = give_up(task, "Nobody wants it any more.\x00", now=at(1))

    letter = DeadLetter.objects.get()
    assert (ended.status, ended.error["code"], ended.cost_usd) == (TaskStatus.FAILED, "operator", None)
    assert (letter.reason, letter.message) == ("operator", "Nobody wants it any more.�")
    assert not QueueEntry.objects.exists()
    assert where != "queued" or attempt_of(task).state == "released"
    assert violations_at_rest() == []


def test_a_person_may_retry_it(alice: User) -> None:
    task = give_up(text_task(alice), now=at(1))

    assert retry(task, now=at(2)).status == TaskStatus.PENDING


def test_what_runs_or_has_ended_is_left_alone(alice: User) -> None:
    running, ended = text_task(alice), text_task(alice, run_at=at(60))
    claimed()
    cancel(ended, now=at(1))

    for task in (running, ended):
        with pytest.raises(NotPossible):
            give_up(task, now=at(2))

    assert (fresh(running).status, fresh(ended).status) == (TaskStatus.PROCESSING, TaskStatus.CANCELLED)
    assert not DeadLetter.objects.exists()
