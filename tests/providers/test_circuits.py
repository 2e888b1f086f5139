"""The breaker that all processes share."""

import itertools
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from providers import circuits, control, routing
from providers.models import CIRCUIT_MOVES, Circuit, CircuitMode, CircuitState, CircuitTransition
from providers.types import Gate

SECOND = timedelta(seconds=1)
SIM = "simulator"
pytestmark = pytest.mark.usefixtures("ensured")


def put(**values: Any) -> None:
    Circuit.objects.filter(provider=SIM).update(**values)


def circuit() -> Circuit:
    return Circuit.objects.get(provider=SIM)


def moves() -> list[tuple[str, str, str]]:
    return list(CircuitTransition.objects.order_by("id").values_list("from_state", "to_state", "cause"))


@pytest.mark.parametrize(("before", "after"), list(itertools.product(CircuitState, repeat=2)))
def test_every_pair_of_states_is_tried(now: datetime, before: CircuitState, after: CircuitState) -> None:
    put(state=before, open_until=now if before == CircuitState.OPEN else None)

    moved = {
        CircuitState.OPEN: lambda: control.trip(SIM, cause="unavailable", now=now),
        CircuitState.CLOSED: lambda: control.close(SIM, cause="operator", now=now, force=True),
        CircuitState.HALF_OPEN: lambda: routing.take_probe(SIM, now + SECOND, now),
    }[after]()

    expected = after if after in CIRCUIT_MOVES[before] else before
    assert circuit().state == expected
    assert [move[:2] for move in moves()] == ([(before, after)] if expected != before else [])
    # A second probe of a half-open circuit is a lease, not a move.
    assert moved == (expected != before or before == after == CircuitState.HALF_OPEN)


def test_tripping_opens_for_twice_as_long_each_time_up_to_a_cap(now: datetime) -> None:
    seen = []
    for _ in range(9):
        control.trip(SIM, cause="unavailable", now=now)
        seen.append(circuit().open_seconds)
        now = circuit().open_until or now
        routing.take_probe(SIM, now + SECOND, now)

    assert seen == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_closing_starts_the_count_anew(now: datetime) -> None:
    put(state=CircuitState.HALF_OPEN, open_seconds=80)

    assert control.close(SIM, cause="probe", now=now)

    control.trip(SIM, cause="unavailable", now=now)
    assert circuit().open_seconds == 5


def test_a_success_that_began_before_it_opened_does_not_close_it(now: datetime) -> None:
    control.trip(SIM, cause="unavailable", now=now)

    assert not control.close(SIM, cause="success", now=now)
    assert circuit().state == CircuitState.OPEN


def test_every_move_is_written_down(now: datetime) -> None:
    control.trip(SIM, cause="unavailable", now=now)
    routing.take_probe(SIM, now + 9 * SECOND, now + 5 * SECOND)
    control.close(SIM, cause="probe", now=now + 6 * SECOND)

    assert moves() == [
        ("closed", "open", "unavailable"),
        ("open", "half_open", "rested"),
        ("half_open", "closed", "probe"),
    ]


def test_a_long_cause_is_cut(now: datetime) -> None:
    assert control.trip(SIM, cause="x" * 1000, now=now)
    assert len(circuit().cause) == 200


def test_a_closed_circuit_lets_calls_through(now: datetime) -> None:
    assert routing.gate(SIM, now) == Gate()


def test_a_provider_without_rows_lets_calls_through(now: datetime) -> None:
    assert routing.gate("nobody", now) == Gate()
    assert not control.trip("nobody", cause="unavailable", now=now)
    assert not routing.take_probe("nobody", now, now)


def test_an_open_circuit_says_until_when(now: datetime) -> None:
    control.trip(SIM, cause="unavailable", now=now)

    assert routing.gate(SIM, now + 4 * SECOND) == Gate("circuit_open", now + 5 * SECOND)


def test_a_rested_circuit_wants_a_probe(now: datetime) -> None:
    control.trip(SIM, cause="unavailable", now=now)

    assert routing.gate(SIM, now + 5 * SECOND) == Gate(probe=True)


def test_only_one_probe_is_given_until_its_lease_is_over(now: datetime) -> None:
    control.trip(SIM, cause="unavailable", now=now)
    rested = now + 5 * SECOND
    until = rested + 90 * SECOND

    assert routing.take_probe(SIM, until, rested)

    assert routing.gate(SIM, rested) == Gate("circuit_open", until, is_probing=True)
    assert not routing.take_probe(SIM, until, rested)
    assert routing.gate(SIM, until) == Gate(probe=True)
    assert routing.take_probe(SIM, until + SECOND, until)


def test_no_probe_before_it_has_rested(now: datetime) -> None:
    control.trip(SIM, cause="unavailable", now=now)

    assert not routing.take_probe(SIM, now + 90 * SECOND, now + 4 * SECOND)


def test_a_retry_after_shuts_the_gate_until_then(now: datetime) -> None:
    control.block(SIM, until=now + 20 * SECOND, now=now)

    assert routing.gate(SIM, now) == Gate("provider_retry_after", now + 20 * SECOND)
    assert routing.gate(SIM, now + 20 * SECOND) == Gate()


def test_a_retry_after_only_ever_moves_later(now: datetime) -> None:
    for seconds in (20, 5, 30, 10):
        control.block(SIM, until=now + seconds * SECOND, now=now)

    assert circuit().blocked_until == now + 30 * SECOND


def test_a_retry_after_is_an_hour_at_most(now: datetime) -> None:
    control.block(SIM, until=now + timedelta(days=365), now=now)

    assert circuit().blocked_until == now + timedelta(hours=1)


def test_a_retry_after_holds_back_a_probe(now: datetime) -> None:
    control.trip(SIM, cause="unavailable", now=now)
    control.block(SIM, until=now + 60 * SECOND, now=now)

    assert routing.gate(SIM, now + 5 * SECOND) == Gate("provider_retry_after", now + 60 * SECOND)


def test_forced_open_lets_nothing_through_and_nothing_moves_it(now: datetime) -> None:
    control.set_circuit_mode(SIM, CircuitMode.FORCED_OPEN, now)

    assert routing.gate(SIM, now + timedelta(days=1)) == Gate("circuit_open", None)
    assert not control.close(SIM, cause="success", now=now, force=True)
    assert not routing.take_probe(SIM, now + SECOND, now)
    assert moves() == [("closed", "open", "operator")]


def test_forced_closed_lets_calls_through_and_nothing_moves_it(now: datetime) -> None:
    control.trip(SIM, cause="unavailable", now=now)

    control.set_circuit_mode(SIM, "forced_closed", now)

    assert routing.gate(SIM, now) == Gate()
    assert not control.trip(SIM, cause="unavailable", now=now)
    assert circuit().state == CircuitState.CLOSED


def test_forced_closed_still_honours_a_retry_after(now: datetime) -> None:
    control.set_circuit_mode(SIM, CircuitMode.FORCED_CLOSED, now)
    control.block(SIM, until=now + 20 * SECOND, now=now)

    assert routing.gate(SIM, now).reason == "provider_retry_after"


def test_an_operator_who_closes_it_opens_the_gate_of_a_retry_after_too(now: datetime) -> None:
    control.block(SIM, until=now + timedelta(hours=1), now=now)

    assert not control.close(SIM, cause="a call ended well", now=now)
    assert control.close(SIM, cause="operator", now=now, force=True)

    assert routing.gate(SIM, now) == Gate()
    assert not control.close(SIM, cause="operator", now=now, force=True)


def test_back_in_automatic_mode_it_asks_for_a_probe(now: datetime) -> None:
    control.set_circuit_mode(SIM, CircuitMode.FORCED_OPEN, now)

    control.set_circuit_mode(SIM, CircuitMode.AUTO, now + SECOND)

    assert routing.gate(SIM, now + SECOND) == Gate(probe=True)


def test_an_unknown_mode_is_refused(now: datetime) -> None:
    with pytest.raises(ValueError, match="ajar"):
        control.set_circuit_mode(SIM, "ajar", now)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("wish", ["probe", "trip"])
def test_of_many_who_want_the_same_move_one_makes_it(now: datetime, wish: str) -> None:
    if wish == "probe":
        put(state=CircuitState.OPEN, open_until=now)
    made: list[bool] = []

    def move() -> None:
        try:
            if wish == "probe":
                made.append(routing.take_probe(SIM, now + 90 * SECOND, now))
            else:
                made.append(control.trip(SIM, cause="unavailable", now=now))
        finally:
            connection.close()

    threads = [threading.Thread(target=move) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == [False] * 7 + [True]
    assert len(moves()) == 1


def test_a_move_that_somebody_else_made_first_is_not_made_again(now: datetime) -> None:
    seen = circuit()
    control.trip(SIM, cause="unavailable", now=now)

    moved = circuits._move(seen, CircuitState.OPEN, "late", now, opened_at=now)

    assert not moved
    assert len(moves()) == 1
