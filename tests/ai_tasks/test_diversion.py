"""diversion.divert: who would wait too long at a provider goes to the route's next willing one."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from ai_tasks import diversion
from ai_tasks.dispatch import Diverter
from ai_tasks.models import AIGenerationTask
from ai_tasks.representation import task_json
from config.chaos.invariants import violations
from providers import control
from providers.models import ProviderLimit, Route
from queueing.models import QueueEntry, TaskQueue
from queueing.states import Priority
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import NOW, admitted, answer, at, at_once, attempt_of, claim, entry_of, fresh, plan, text_task

pytestmark = pytest.mark.usefixtures("second_provider")
LANES = [f"ai.{provider}.{lane}" for provider in ("simulator", "second") for lane in ("default", "long")]


def divert(now: Any = NOW, provider: str = "simulator") -> int | None:
    return diversion.divert(AIGenerationTask.objects.all(), provider, workers=[(LANES, 100)], now=now)


def several(owner: User, count: int, **wish: Any) -> list[AIGenerationTask]:
    return [text_task(owner, **{"model": "both", **wish}) for _ in range(count)]


def places() -> dict[str, int]:
    found = list(QueueEntry.objects.values_list("provider", flat=True))
    return {provider: found.count(provider) for provider in sorted(set(found))}


@pytest.fixture
def shut(second_provider: None) -> None:
    """The simulator's circuit is open."""
    control.trip("simulator", cause="unavailable", now=NOW)


def test_an_open_circuit_diverts_to_the_next_provider_which_runs_it(alice: User, shut: None) -> None:
    task = text_task(alice, model="both")

    assert divert() == 1

    assert (fresh(task).provider, fresh(task).route_position, entry_of(task).provider) == ("second", 1, "second")
    left = {"provider": "simulator", "model": "sim-1", "reason": "circuit_open", "after_attempt": 0}
    assert task_json(fresh(task))["skipped"] == [left]
    assert admitted(plan("second")) == 1
    assert attempt_of(task).provider == "second"
    assert violations() == []


def test_a_closed_circuit_and_a_patient_route_divert_nothing(alice: User) -> None:
    text_task(alice, model="both")

    assert divert(at(100_000)) is None

    assert places() == {"simulator": 1}


def test_who_named_one_provider_stays_with_it(alice: User, shut: None) -> None:
    several(alice, 3, model="simulator/sim-1")
    task = text_task(alice, model="both")

    assert divert() == 1

    assert places() == {"second": 1, "simulator": 3}
    assert fresh(task).provider == "second"


def test_no_more_is_diverted_than_there_is_room_for_behind_what_waits_there(alice: User, shut: None) -> None:
    ProviderLimit.objects.filter(provider="second").update(max_concurrency=3)
    several(alice, 10)
    text_task(alice, model="second/sim-1")

    assert (divert(), divert()) == (2, 0)

    assert places() == {"second": 3, "simulator": 8}
    lease = claim(provider="second")
    assert lease is not None
    AIGenerationTask.objects.complete(lease.task.pk, lease.epoch, answer(), now=at(1))
    assert divert(at(1)) == 1


def test_one_round_is_bounded(alice: User, shut: None) -> None:
    several(alice, 40)

    assert divert() == diversion.BATCH == 32


def test_the_best_go_first(alice: User, shut: None) -> None:
    ProviderLimit.objects.filter(provider="second").update(max_concurrency=2)
    several(alice, 2)
    high = several(alice, 2, priority=Priority.HIGH)

    divert()

    assert {fresh(task).provider for task in high} == {"second"}


def test_who_is_handed_over_already_or_parked_stays(alice: User) -> None:
    several(alice, 2)
    text_task(alice, model="both", run_at=at(60))
    plan()
    control.trip("simulator", cause="unavailable", now=NOW)

    assert divert() == 0


def pause_second() -> None:
    TaskQueue.objects.pause("second", reason="", now=NOW)


def shut_second() -> None:
    control.trip("second", cause="unavailable", now=NOW)


def probe_second() -> None:
    control.trip("second", cause="unavailable", now=at(-60))


@pytest.mark.parametrize("unwilling", [pause_second, shut_second, probe_second])
def test_a_provider_that_is_not_willing_gets_nothing(alice: User, shut: None, unwilling: Callable[[], None]) -> None:
    several(alice, 2)
    unwilling()

    assert divert() == 0


def test_a_provider_without_workers_gets_nothing(alice: User, shut: None) -> None:
    several(alice, 2)

    found = diversion.divert(AIGenerationTask.objects.all(), "simulator", workers=[(LANES[:2], 100)], now=NOW)

    assert found == 0


def test_money_that_is_not_there_at_the_other_provider_keeps_an_entry_here(
    alice: User, shut: None, make_budget: MakeBudget
) -> None:
    several(alice, 2)
    make_budget("0.000001", "provider", "second")

    assert divert() == 0


def test_money_is_held_by_the_other_providers_admission(alice: User, shut: None, make_budget: MakeBudget) -> None:
    several(alice, 1)
    divert()
    make_budget("0.000001", "provider", "second")

    assert admitted(plan("second")) == 0
    assert QueueEntry.objects.get().parked_reason == "budget"


def test_an_impatient_route_leaves_a_provider_that_is_full(alice: User) -> None:
    Route.objects.filter(alias="both").update(patience_seconds=10)
    several(alice, 2)

    assert divert(at(10)) == 0
    assert divert(at(11)) == 2


def test_an_impatient_route_does_not_wait_for_a_long_retry_after(alice: User) -> None:
    Route.objects.filter(alias="both").update(patience_seconds=10)
    several(alice, 1)
    control.block("simulator", until=at(9), now=NOW)
    assert divert() == 0

    control.block("simulator", until=at(60), now=NOW)

    assert divert() == 1


def test_the_last_of_a_route_has_nowhere_to_go(alice: User, shut: None) -> None:
    several(alice, 1)
    divert()
    control.trip("second", cause="unavailable", now=NOW)

    assert divert(provider="second") == 0


def test_heads_with_nowhere_to_go_do_not_hide_others_within_bounds(alice: User, shut: None) -> None:
    several(alice, 100, model="simulator/sim-1")
    several(alice, 1)

    assert divert() == 1


def test_however_often_the_bell_rings_it_is_looked_at_once_a_second(
    alice: User, shut: None, django_assert_num_queries: Any
) -> None:
    several(alice, 1)
    diverter = Diverter()
    assert diverter.look("simulator", [(LANES, 100)], NOW) == at(1)
    several(alice, 1)

    with django_assert_num_queries(0):
        again = diverter.look("simulator", [(LANES, 100)], NOW)

    assert again is not None
    assert NOW < again <= at(1)
    assert places() == {"second": 1, "simulator": 1}


def test_where_nothing_would_leave_nobody_looks_again_for_it(alice: User) -> None:
    several(alice, 1)

    assert Diverter().look("simulator", [(LANES, 100)], NOW) is None


@pytest.mark.django_db(transaction=True)
def test_several_processes_divert_together_no_more_than_there_is_room_for(alice: User, bob: User, shut: None) -> None:
    ProviderLimit.objects.filter(provider="second").update(max_concurrency=5)
    several(alice, 10)
    several(bob, 10)

    outcomes = at_once([divert] * 4)

    assert all(isinstance(each, int | OperationalError) for each in outcomes), outcomes
    assert places() == {"second": 4, "simulator": 16}, "one slot is kept for urgent work"
    assert violations() == []
