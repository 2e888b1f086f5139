"""breaker: circuits of models that are in trouble by themselves."""

import pytest
from django.contrib.auth.models import User

from ai_tasks import breaker, diversion, lease, process
from ai_tasks.models import AIGenerationTask
from providers import circuits, control, routing
from providers.errors import (
    ModelNotFound,
    Overloaded,
    Unavailable,
)
from providers.models import Circuit, RouteCandidate
from tests.ai_tasks.ends import SIM, end, state
from tests.engine import admitted, answer, at, attempt_of, entry_of, fresh, plan, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
OTHER = "simulator/sim-large"


def overload(alice: User, model: str = SIM) -> None:
    """Open the circuit of a model at half past four."""
    for number in range(5):
        end(alice, number, Overloaded(), model=model)


def test_an_overloaded_model_is_left_alone_and_the_others_are_not(alice: User) -> None:
    overload(alice)
    waiting = text_task(alice, model=SIM, now=at(5))
    other = text_task(alice, model=OTHER, now=at(6))

    assert admitted(plan(now=at(7))) == 1

    assert (state(), state("sim-1")) == ("closed", "open")
    parked = entry_of(waiting)
    assert (parked.state, parked.parked_reason, parked.parked_until) == ("parked", "circuit_open", at(9.5))
    assert entry_of(other).state == "queued"


def test_a_model_s_half_open_circuit_takes_one_call_whose_answer_wakes_the_rest(alice: User) -> None:
    overload(alice)
    waiting = [text_task(alice, model=SIM, now=at(5)) for _ in range(3)]
    assert admitted(plan(now=at(6))) == 0

    assert [admitted(plan(now=at(10))), admitted(plan(now=at(11)))] == [1, 0]

    probe = next(task for task in waiting if entry_of(task).state == "queued")
    handed = entry_of(probe)
    assert handed.dispatch_id is not None
    assert lease.begin(tasks.all(), probe.pk, 1, dispatch_id=handed.dispatch_id, worker=process.boot_id(), now=at(11))
    assert (attempt_of(probe).is_probe, attempt_of(probe).is_model_probe) == (False, True)
    tasks.complete(probe.pk, 1, answer(), now=at(12))
    assert (state("sim-1"), admitted(plan(now=at(12)))) == ("closed", 2)


def test_a_model_s_failed_probe_opens_it_for_longer(alice: User) -> None:
    overload(alice)

    end(alice, 10, Overloaded())

    assert routing.gate("simulator", at(11), model="sim-1").until == at(20.5)


def test_an_outage_of_the_provider_says_nothing_about_the_model_that_was_tried(alice: User) -> None:
    overload(alice)

    end(alice, 10, Unavailable())

    assert (state("sim-1"), routing.gate("simulator", at(11), model="sim-1").probe) == ("half_open", True)


def test_one_call_tries_the_provider_and_its_model_at_once(alice: User) -> None:
    overload(alice)
    control.trip("simulator", cause="unavailable", now=at(5))

    tried = end(alice, 20, None)

    assert (tried.is_probe, tried.is_model_probe) == (True, True)
    assert (state(), state("sim-1")) == ("closed", "closed")


@pytest.mark.usefixtures("second_provider")
def test_who_has_another_place_on_the_route_does_not_wait_for_the_model(alice: User) -> None:
    overload(alice)
    task = text_task(alice, model="both", now=at(5))

    plan(now=at(6))

    assert (fresh(task).provider, entry_of(task).provider, entry_of(task).state) == ("second", "second", "waiting")


def test_a_model_that_is_not_there_is_left_alone_where_a_route_names_it(alice: User) -> None:
    RouteCandidate.objects.create(route_id="default", position=9, provider_id="simulator", model="gone")

    end(alice, 1, ModelNotFound(), model="simulator/gone")
    end(alice, 2, ModelNotFound(), model="simulator/made-up")

    assert (state("gone"), state("made-up"), state()) == ("open", "none", "closed")


def test_callers_who_make_models_up_do_not_fill_the_table(alice: User) -> None:
    for number in range(circuits.MOST_MODELS):
        control.trip("simulator", model=f"made-up-{number}", cause="overloaded", now=at(0))

    assert not control.trip("simulator", model="one-more", cause="overloaded", now=at(0))
    control.close("simulator", model="made-up-7", cause="x", now=at(1), force=True)
    assert control.trip("simulator", model="one-more", cause="overloaded", now=at(2))

    assert Circuit.objects.filter(provider="simulator").count() == circuits.MOST_MODELS + 1
    assert state("made-up-7") == "none"


def test_an_operator_who_closes_a_model_s_circuit_wakes_who_waits(alice: User) -> None:
    breaker.set_mode("simulator", "sim-1", "forced_open", at(0))
    task = text_task(alice, model=SIM)
    assert admitted(plan()) == 0
    assert entry_of(task).parked_until == at(60)

    breaker.set_mode("simulator", "sim-1", "forced_closed", at(1))

    assert admitted(plan(now=at(1))) == 1


@pytest.mark.usefixtures("second_provider")
def test_nobody_is_diverted_to_a_model_that_is_left_alone(alice: User) -> None:
    control.trip("simulator", cause="unavailable", now=at(0))
    control.trip("second", model="sim-1", cause="overloaded", now=at(0))
    task = text_task(alice, model="both")
    lanes = [f"ai.{provider}.default" for provider in ("simulator", "second")]

    assert diversion.divert(tasks.all(), "simulator", workers=[(lanes, 10)], now=at(1)) == 0
    control.close("second", model="sim-1", cause="x", now=at(2), force=True)
    assert diversion.divert(tasks.all(), "simulator", workers=[(lanes, 10)], now=at(3)) == 1

    assert fresh(task).provider == "second"
