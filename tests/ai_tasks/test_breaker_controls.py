"""One probe a window: under many admissions at once; and each guard, taken away, is missed."""

from datetime import datetime

import pytest
from django.contrib.auth.models import User

from ai_tasks.admission import Plan
from ai_tasks.models import AIGenerationTask, Attempt
from providers import control
from providers.errors import StreamCut, Unavailable
from providers.models import Circuit, CircuitTransition
from tests.ai_tasks.ends import SIM, end, state
from tests.engine import answer, at, at_once, claimed, plan, several

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]
tasks = AIGenerationTask.objects
RESTED = at(10)


def probes() -> list[int]:
    """Return how many calls went to the provider in each half-open window, the last of which may be open still."""
    moves = list(CircuitTransition.objects.filter(model="").order_by("id").values_list("to_state", "created_at"))
    ends: list[datetime | None] = [at for _, at in moves[1:]]
    found = []
    for (to_state, began), ended in zip(moves, [*ends, None], strict=True):
        if to_state == "half_open":
            attempts = Attempt.objects.filter(admitted_at__gte=began).exclude(state="released")
            found.append((attempts.filter(admitted_at__lt=ended) if ended else attempts).count())
    return found


@pytest.fixture
def rested(alice: User, providers_ready: None) -> None:
    """Twenty tasks wait at a provider whose circuit has rested."""
    several(alice, 20, model=SIM)
    control.trip("simulator", cause="unavailable", now=at(0))


@pytest.mark.usefixtures("rested")
def test_of_many_admissions_at_once_one_takes_the_one_probe() -> None:
    plans = at_once([lambda: plan(now=RESTED)] * 8)

    assert sum(len(each.dispatches) for each in plans if isinstance(each, Plan)) == 1
    assert (probes(), state()) == ([1], "half_open")


@pytest.mark.usefixtures("rested")
def test_each_window_has_one_probe_until_one_is_answered() -> None:
    for seconds in (10, 110, 210):
        held = claimed(now=at(seconds))
        assert [plan(now=at(seconds + 1)).dispatches for _ in range(3)] == [[], [], []]
        tasks.fail(held.task.pk, held.epoch, Unavailable(), now=at(seconds + 2))

    held = claimed(now=at(310))
    tasks.complete(held.task.pk, held.epoch, answer(), now=at(311))

    assert (probes(), state()) == ([1, 1, 1, 1], "closed")


@pytest.mark.usefixtures("rested")
def test_without_the_probe_s_lease_a_second_call_is_seen() -> None:
    plan(now=RESTED)
    assert probes() == [1]

    Circuit.objects.update(probe_until=None)
    plan(now=RESTED)

    assert probes() == [2]


@pytest.mark.usefixtures("rested")
def test_without_the_state_all_go() -> None:
    Circuit.objects.update(state="closed")

    assert len(plan(now=RESTED).dispatches) == 20


def test_without_the_time_of_its_closing_old_failures_open_it_again(alice: User) -> None:
    for number in range(5):
        end(alice, number, StreamCut())
    end(alice, 20, None)
    assert state() == "closed"

    Circuit.objects.update(closed_at=None)
    Attempt.objects.filter(state="succeeded").update(state="cancelled")
    end(alice, 21, StreamCut())

    assert state() == "open"
