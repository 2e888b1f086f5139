"""
The breaker and the Retry-After gate of a provider, as one row that all processes share.

Every move is one conditional UPDATE: of two processes that want the same move, one makes it. CIRCUIT_MOVES beside the
states says which moves there are. While an operator forces the mode, nothing moves by itself.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from providers.models import Circuit, CircuitMode, CircuitState, CircuitTransition
from providers.types import OPEN_GATE, Gate

FIRST_OPEN_SECONDS, LONGEST_OPEN_SECONDS = 5, 300
LONGEST_BLOCK = timedelta(hours=1)
OPERATOR = "operator"


def gate(provider: str, now: datetime) -> Gate:
    """Return whether calls may go to the provider now, and if not, why and until when."""
    # Raw: the ORM would compile it anew before every call of every task.
    circuit = next(
        iter(Circuit.objects.raw("SELECT * FROM providers_circuit WHERE provider_id = %s", [provider])), None
    )
    if circuit is None:
        return OPEN_GATE
    shut = _breaker(circuit, now)
    if shut.reason:
        return shut
    if circuit.blocked_until and circuit.blocked_until > now:
        return Gate("provider_retry_after", circuit.blocked_until)
    return shut


def _breaker(circuit: Circuit, now: datetime) -> Gate:
    if circuit.mode == CircuitMode.FORCED_OPEN:
        return Gate("circuit_open", None)
    if circuit.mode == CircuitMode.FORCED_CLOSED or circuit.state == CircuitState.CLOSED:
        return OPEN_GATE
    if circuit.state == CircuitState.OPEN:
        until, is_shut = circuit.open_until, circuit.open_until is None or circuit.open_until > now
    else:
        until, is_shut = circuit.probe_until, circuit.probe_until is not None and circuit.probe_until > now
    return Gate("circuit_open", until) if is_shut else Gate(probe=True)


def give_probe_back(provider: str) -> bool:
    """End the probe's lease without a verdict: its call was stopped or never made, and another may be tried."""
    return bool(Circuit.objects.filter(provider=provider, state=CircuitState.HALF_OPEN).update(probe_until=None))


def take_probe(provider: str, until: datetime, now: datetime) -> bool:
    """Lease the one half-open call until then; False: somebody else has it, or none is to be had."""
    automatic = Circuit.objects.filter(provider=provider, mode=CircuitMode.AUTO)
    with transaction.atomic():
        rested = automatic.filter(state=CircuitState.OPEN, open_until__lte=now)
        if rested.update(state=CircuitState.HALF_OPEN, probe_until=until):
            _record(provider, CircuitState.OPEN, CircuitState.HALF_OPEN, "rested", now)
            return True
    free = automatic.filter(Q(probe_until=None) | Q(probe_until__lte=now), state=CircuitState.HALF_OPEN)
    return bool(free.update(probe_until=until))


def trip(provider: str, *, cause: str, now: datetime) -> bool:
    """Open a closed or half-open circuit for a while, twice as long as last time; True if this call moved it."""
    seen = Circuit.objects.filter(provider=provider, mode=CircuitMode.AUTO).exclude(state=CircuitState.OPEN).first()
    if seen is None:
        return False
    seconds = min(max(FIRST_OPEN_SECONDS, seen.open_seconds * 2), LONGEST_OPEN_SECONDS)
    return _move(
        seen,
        CircuitState.OPEN,
        cause,
        now,
        opened_at=now,
        open_until=now + timedelta(seconds=seconds),
        open_seconds=seconds,
        cause=cause[:200],
    )


def close(provider: str, *, cause: str, now: datetime, force: bool = False) -> bool:
    """
    Close a half-open circuit, or with `force` (an operator's wish) an open one too; True if this call moved it.

    Without force an open circuit stays: a call that began before it opened and ends well says little.
    """
    states = [CircuitState.HALF_OPEN, CircuitState.OPEN] if force else [CircuitState.HALF_OPEN]
    seen = Circuit.objects.filter(provider=provider, mode=CircuitMode.AUTO, state__in=states).first()
    if seen is None:
        return False
    return _move(seen, CircuitState.CLOSED, cause, now, open_until=None, open_seconds=0)


def block(provider: str, *, until: datetime, now: datetime) -> None:
    """Shut the Retry-After gate until then, an hour at most; it only ever moves later."""
    until = min(until, now + LONGEST_BLOCK)
    earlier = Q(blocked_until=None) | Q(blocked_until__lt=until)
    Circuit.objects.filter(earlier, provider=provider).update(blocked_until=until)


def set_mode(provider: str, mode: CircuitMode, now: datetime) -> None:
    """
    Take the circuit by hand, or give it back.

    Forced open and forced closed move the state with them; back in automatic mode, a circuit that was forced open
    asks for a probe at once.
    """
    with transaction.atomic():
        circuit = Circuit.objects.select_for_update().filter(provider=provider).first()
        if circuit is None or circuit.mode == mode:
            return
        Circuit.objects.filter(pk=circuit.pk).update(mode=mode)
        circuit.mode = mode
        if mode == CircuitMode.FORCED_OPEN:
            _force(circuit, CircuitState.OPEN, now, open_until=None)
        elif mode == CircuitMode.FORCED_CLOSED:
            _force(circuit, CircuitState.CLOSED, now, open_until=None, open_seconds=0)
        else:
            Circuit.objects.filter(pk=circuit.pk, state=CircuitState.OPEN, open_until=None).update(open_until=now)


def _force(circuit: Circuit, state: CircuitState, now: datetime, **values: Any) -> None:
    if circuit.state == state:
        Circuit.objects.filter(pk=circuit.pk).update(**values)
    elif state == CircuitState.OPEN:
        _move(circuit, state, OPERATOR, now, opened_at=now, cause=OPERATOR, **values)
    else:
        _move(circuit, state, OPERATOR, now, **values)


def _move(seen: Circuit, to: CircuitState, why: str, now: datetime, **values: Any) -> bool:
    """Make the move if the circuit still is as it was seen, and record it."""
    with transaction.atomic():
        same = Circuit.objects.filter(
            pk=seen.pk, state=seen.state, mode=seen.mode, open_seconds=seen.open_seconds, opened_at=seen.opened_at
        )
        moved = same.update(state=to, probe_until=None, **values)
        if moved:
            _record(seen.pk, CircuitState(seen.state), to, why, now)
    return bool(moved)


def _record(provider: str, before: CircuitState, after: CircuitState, cause: str, now: datetime) -> None:
    CircuitTransition.objects.create(
        provider_id=provider, from_state=before, to_state=after, cause=cause[:200], created_at=now
    )
