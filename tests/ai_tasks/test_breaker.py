"""breaker: what the ends of attempts say about a provider."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import breaker, events, lease, process
from ai_tasks.models import AIGenerationTask
from providers import control, routing
from providers.errors import (
    AuthenticationFailed,
    BadRequest,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    StreamCut,
    Unavailable,
)
from providers.models import Circuit
from tests.ai_tasks.ends import end, moves, set_aside, set_rule, state
from tests.engine import answer, at, attempt_of, claim, claimed, entry_of, plan, several, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects


def test_a_rate_limit_shuts_its_gate_and_never_the_circuit(alice: User) -> None:
    for number in range(12):
        end(alice, number * 10, RateLimited(retry_after_seconds=5))

    assert routing.gate("simulator", at(111)).reason == "provider_retry_after"
    assert (state(), moves()) == ("closed", [])


def test_a_rate_limit_does_not_interrupt_a_series_of_failures(alice: User) -> None:
    for number in range(5):
        assert state() == "closed"
        end(alice, number * 10, StreamCut())
        end(alice, number * 10 + 2, RateLimited(retry_after_seconds=1)) if number < 4 else None

    assert state() == "open"


def test_a_request_that_the_provider_turns_down_interrupts_it(alice: User) -> None:
    for number in range(8):
        end(alice, number * 10, BadRequest() if number == 4 else StreamCut())

    assert state() == "closed"


@pytest.mark.parametrize("error", [AuthenticationFailed(), QuotaExhausted()])
def test_a_refused_key_and_an_empty_account_open_it_until_an_operator_acts(alice: User, error: ProviderError) -> None:
    set_rule(waits_for_operator=True)

    end(alice, 1, error)

    waiting = text_task(alice, now=at(2))
    assert routing.gate("simulator", at(9_999_999)).reason == "circuit_open"
    assert (claim(now=at(9_999)), moves()) == (None, [("", "open", error.code)])
    assert breaker.close("simulator", "", at(10_000))
    assert claimed(now=at(10_001)).task.pk == waiting.pk


def test_it_stays_open_also_where_it_was_open_for_a_while(alice: User) -> None:
    set_rule(waits_for_operator=True)
    slow = [text_task(alice), text_task(alice)]
    held = [claimed() for _ in slow]
    control.trip("simulator", cause="unavailable", now=at(1))

    tasks.fail(held[0].task.pk, held[0].epoch, AuthenticationFailed(), now=at(2))

    assert Circuit.objects.get(model="").open_until is None
    assert Circuit.objects.get(model="").cause == "authentication_failed"


def test_a_simulator_s_refused_key_is_nothing_that_an_operator_could_mend(alice: User) -> None:
    end(alice, 1, AuthenticationFailed())

    assert state() == "open"
    assert routing.gate("simulator", at(7)).probe


def test_half_of_the_calls_of_the_window_open_it(alice: User) -> None:
    for number in range(9):
        end(alice, number * 2, None if number % 2 else StreamCut())
    assert state() == "closed"

    end(alice, 20, StreamCut())

    assert state() == "open"


def test_calls_before_the_window_and_less_than_the_share_do_not(alice: User) -> None:
    for number in range(12):
        end(alice, number * 10, None if number % 2 else StreamCut())
    for number in range(20):
        end(alice, 200 + number * 2, StreamCut() if number % 3 == 2 else None)

    assert state() == "closed"


def test_the_share_and_the_window_are_the_operators(alice: User) -> None:
    set_rule(failed_percent=30, least_calls=4, window_seconds=600)
    for number in range(3):
        end(alice, number * 100, None)

    end(alice, 300, StreamCut())
    assert state() == "closed"
    end(alice, 400, StreamCut())

    assert state() == "open"


def test_the_length_of_a_rest_is_the_operators(alice: User) -> None:
    set_rule(unreachable_in_a_row=1, first_open_seconds=7, longest_open_seconds=10)

    end(alice, 1, Unavailable())
    end(alice, 9, Unavailable())

    assert routing.gate("simulator", at(19)).until == at(19.5)


def test_what_failed_before_it_closed_counts_no_more(alice: User) -> None:
    for number in range(5):
        end(alice, number, StreamCut())
    end(alice, 20, None)
    assert state() == "closed"

    end(alice, 21, StreamCut())

    assert state() == "closed"


def test_a_call_that_began_before_it_closed_and_fails_late_counts_no_more(alice: User) -> None:
    slow = text_task(alice)
    held = claimed()
    for number in range(2):
        end(alice, number + 1, Unavailable())
    end(alice, 20, None)

    tasks.fail(slow.pk, held.epoch, Unavailable(), now=at(21))
    set_aside(slow)
    end(alice, 22, Unavailable())

    assert state() == "closed"


def test_while_it_is_half_open_only_the_probe_is_heard(alice: User) -> None:
    slow = text_task(alice)
    held = claimed()
    for number in range(2):
        end(alice, number + 1, Unavailable())
    probe = text_task(alice, now=at(20))
    trying = claimed(now=at(20))

    tasks.fail(slow.pk, held.epoch, Unavailable(), now=at(21))

    assert state() == "half_open"
    assert claim(now=at(22)) is None
    tasks.complete(probe.pk, trying.epoch, answer(), now=at(23))
    assert state() == "closed"


def test_a_probe_that_was_stopped_lets_the_next_try(alice: User) -> None:
    control.trip("simulator", cause="unavailable", now=at(0))
    text_task(alice)
    held = claimed(now=at(10))
    assert held is not None

    tasks.release_task(held.task.pk, held.epoch, now=at(11))

    assert (state(), routing.gate("simulator", at(11)).probe) == ("half_open", True)


def test_a_long_probe_stays_the_only_one(alice: User) -> None:
    control.trip("simulator", cause="unavailable", now=at(0))
    control.trip("simulator", model="sim-1", cause="unavailable", now=at(0))
    probe, following = several(alice, 2)
    trying = claimed(now=at(10))
    assert attempt_of(probe).is_probe
    assert attempt_of(probe).is_model_probe

    for seconds in (200, 400, 401):
        assert claim(now=at(seconds)) is None
    tasks.complete(trying.task.pk, trying.epoch, answer(), now=at(402))

    assert state() == "closed"
    assert claimed(now=at(403)).task.pk == following.pk


def test_a_long_probe_that_was_stopped_lets_the_next_try_at_once(alice: User) -> None:
    control.trip("simulator", cause="unavailable", now=at(0))
    several(alice, 2)
    trying = claimed(now=at(10))
    assert claim(now=at(200)) is None

    tasks.release_task(trying.task.pk, trying.epoch, now=at(201))

    assert claim(now=at(202)) is not None
    assert claim(now=at(203)) is None


def test_a_probe_does_not_pass_a_circuit_that_was_forced_open_meanwhile(alice: User) -> None:
    control.trip("simulator", cause="unavailable", now=at(0))
    task = text_task(alice)
    (handed,) = plan(now=at(10)).dispatches
    assert attempt_of(task).is_probe
    breaker.set_mode("simulator", "", "forced_open", at(11))

    begun = lease.begin(tasks.all(), task.pk, 1, dispatch_id=handed.dispatch_id, worker=process.boot_id(), now=at(12))

    assert begun is None
    assert entry_of(task).state == "waiting"


def test_no_evidence_moves_a_circuit_that_an_operator_holds(alice: User) -> None:
    breaker.set_mode("simulator", "", "forced_closed", at(0))
    for number in range(6):
        end(alice, number + 1, Unavailable() if number % 2 else AuthenticationFailed())
    assert moves() == []

    breaker.set_mode("simulator", "", "forced_open", at(10))
    text_task(alice, now=at(11))

    assert (claim(now=at(9_999)), state()) == (None, "open")


def test_a_success_costs_the_circuit_nothing_and_leaves_no_trace(alice: User) -> None:
    before = list(Circuit.objects.values())

    end(alice, 1, None)

    assert list(Circuit.objects.values()) == before


def test_operators_are_told_of_every_move_after_the_commit(
    alice: User, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        end(alice, 1, Unavailable())
        end(alice, 2, Unavailable())
        end(alice, 20, None)

    told = [callback.args[1] for callback in callbacks if getattr(callback, "args", ())[:1] == (events.OPERATIONS,)]
    assert [(each["name"], each["provider"], each["model"], each["state"], each["cause"]) for each in told] == [
        ("circuit.moved", "simulator", None, "open", "unavailable"),
        ("circuit.moved", "simulator", None, "half_open", "rested"),
        ("circuit.moved", "simulator", None, "closed", "probe_answered"),
    ]
    assert [move[1:] for move in moves()] == [(each["state"], each["cause"]) for each in told]
