"""
The breakers of a provider and of its models, and its Retry-After gate, as rows that all processes share.

Every move is one conditional UPDATE: of two processes that want the same move, one makes it. CIRCUIT_MOVES beside the
states says which moves there are. While an operator forces the mode, nothing moves by itself.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from providers.models import Circuit, CircuitMode, CircuitRule, CircuitState, CircuitTransition, Provider
from providers.types import OPEN_GATE, Gate

LONGEST_BLOCK = timedelta(hours=1)
OPERATOR = "operator"
MOST_MODELS = 100
"""Circuits of models that a provider may have: callers make names up."""


def gates(provider: str, now: datetime) -> dict[str, Gate]:
    """
    Return whether calls may go to the provider now, and if not, why and until when, by model.

    The key "" is the provider as a whole and always there; models without trouble of their own are left out.
    """
    # Raw: the ORM would compile it anew before every call of every task.
    rows = Circuit.objects.raw("SELECT * FROM providers_circuit WHERE provider_id = %s", [provider])
    return {"": OPEN_GATE} | {row.model: found for row in rows if (found := gate(row, now)) != OPEN_GATE}


def gate(circuit: Circuit, now: datetime) -> Gate:
    """Return whether this circuit, or the Retry-After gate in its row, lets calls through now."""
    shut = _breaker(circuit, now)
    if not shut.reason and circuit.blocked_until and circuit.blocked_until > now:
        return Gate("provider_retry_after", circuit.blocked_until)
    return shut


def _breaker(circuit: Circuit, now: datetime) -> Gate:
    if circuit.mode == CircuitMode.FORCED_OPEN:
        # Once that time is over the next sweep gives it back to itself.
        is_over = circuit.forced_until is not None and circuit.forced_until <= now
        return Gate("circuit_open", None if is_over else circuit.forced_until)
    if circuit.mode == CircuitMode.FORCED_CLOSED or circuit.state == CircuitState.CLOSED:
        return OPEN_GATE
    if circuit.state == CircuitState.OPEN:
        until, is_shut = circuit.open_until, circuit.open_until is None or circuit.open_until > now
    else:
        until, is_shut = circuit.probe_until, circuit.probe_until is not None and circuit.probe_until > now
    is_probing = is_shut and circuit.state == CircuitState.HALF_OPEN
    return Gate("circuit_open", until, is_probing=is_probing) if is_shut else Gate(probe=True)


def _of(provider: str, model: str = "") -> QuerySet[Circuit]:
    return Circuit.objects.filter(provider=provider, model=model)


def rule(provider: str) -> CircuitRule:
    """Return when the provider's circuits open; the defaults where no operator has said."""
    return CircuitRule.objects.filter(provider=provider).first() or CircuitRule()


def closed(provider: str, model: str = "") -> datetime | bool:
    """Return since when the circuit lets calls through by itself, True for ever; False: it does not."""
    seen = _of(provider, model).first()
    if seen is None:
        return bool(model)
    is_closed = seen.mode == CircuitMode.AUTO and seen.state == CircuitState.CLOSED
    return is_closed and (seen.closed_at or True)


def give_probe_back(provider: str, model: str = "") -> bool:
    """End the probe's lease without a verdict: its call was stopped or never made, and another may be tried."""
    return bool(_of(provider, model).filter(state=CircuitState.HALF_OPEN).update(probe_until=None))


def take_probe(provider: str, until: datetime, now: datetime, *, model: str = "") -> bool:
    """Lease the one half-open call until then; False: somebody else has it, or none is to be had."""
    automatic = _of(provider, model).filter(mode=CircuitMode.AUTO)
    with transaction.atomic():
        rested = automatic.filter(state=CircuitState.OPEN, open_until__lte=now)
        if rested.update(state=CircuitState.HALF_OPEN, probe_until=until):
            _record(provider, model, CircuitState.OPEN, CircuitState.HALF_OPEN, "rested", now)
            return True
    free = automatic.filter(Q(probe_until=None) | Q(probe_until__lte=now), state=CircuitState.HALF_OPEN)
    return bool(free.update(probe_until=until))


def trip(provider: str, *, cause: str, now: datetime, model: str = "", until_operator: bool = False) -> bool:
    """
    Open a closed or half-open circuit for a while, twice as long as last time; True if this call moved it.

    With `until_operator` it stays open, also one that is open for a while, until somebody closes it.
    """
    if until_operator:
        _of(provider, model).filter(mode=CircuitMode.AUTO, state=CircuitState.OPEN).update(
            open_until=None, cause=cause[:200]
        )
    if model and not _establish(provider, model):
        return False
    seen = _of(provider, model).filter(mode=CircuitMode.AUTO).exclude(state=CircuitState.OPEN).first()
    if seen is None:
        return False
    bounds = rule(provider)
    seconds = min(max(bounds.first_open_seconds, seen.open_seconds * 2), bounds.longest_open_seconds)
    until = None if until_operator else now + timedelta(seconds=seconds)
    values = {"opened_at": now, "open_until": until, "open_seconds": seconds, "cause": cause[:200]}
    return _move(seen, CircuitState.OPEN, cause, now, **values)


def _establish(provider: str, model: str) -> bool:
    """Make the model's row if need be; False: there is no such provider, or too many of its models are in trouble."""
    if _of(provider, model).exists():
        return True
    idle = Circuit.objects.filter(provider=provider, state=CircuitState.CLOSED, mode=CircuitMode.AUTO).exclude(model="")
    if Circuit.objects.filter(provider=provider).count() > MOST_MODELS:
        idle.filter(pk__in=list(idle.order_by("closed_at").values_list("pk", flat=True)[:1])).delete()
    if Circuit.objects.filter(provider=provider).count() > MOST_MODELS:
        return False
    if not Provider.objects.filter(pk=provider).exists():
        return False
    Circuit.objects.bulk_create([Circuit(provider_id=provider, model=model)], ignore_conflicts=True)
    return True


def close(provider: str, *, cause: str, now: datetime, model: str = "", force: bool = False) -> bool:
    """
    Close a half-open circuit, or with `force` (an operator's wish) an open one too; True if this call moved it.

    Without force an open circuit stays: a call that began before it opened and ends well says little. With it the
    Retry-After gate opens too: providers have asked for a million seconds.
    """
    unblocked = force and _of(provider, model).filter(blocked_until__gt=now).update(blocked_until=None) > 0
    states = [CircuitState.HALF_OPEN, CircuitState.OPEN] if force else [CircuitState.HALF_OPEN]
    seen = _of(provider, model).filter(mode=CircuitMode.AUTO, state__in=states).first()
    if seen is None:
        return unblocked
    closed = _move(seen, CircuitState.CLOSED, cause, now, open_until=None, open_seconds=0, closed_at=now)
    return closed or unblocked


def block(provider: str, *, until: datetime, now: datetime) -> None:
    """Shut the Retry-After gate until then, an hour at most; it only ever moves later."""
    until = min(until, now + LONGEST_BLOCK)
    earlier = Q(blocked_until=None) | Q(blocked_until__lt=until)
    _of(provider).filter(earlier).update(blocked_until=until)


def set_mode(
    provider: str, mode: CircuitMode, now: datetime, *, model: str = "", until: datetime | None = None
) -> bool:
    """
    Take the circuit by hand, until then or for good, or give it back; True if that changed anything.

    Forced open and forced closed move the state with them; back in automatic mode, a circuit that was forced open
    asks for a probe at once.
    """
    with transaction.atomic():
        if model:
            _establish(provider, model)
        circuit = _of(provider, model).select_for_update().first()
        if circuit is None or (circuit.mode, circuit.forced_until) == (mode, until):
            return False
        Circuit.objects.filter(pk=circuit.pk).update(mode=mode, forced_until=until)
        circuit.mode = mode
        if mode == CircuitMode.FORCED_OPEN:
            _force(circuit, CircuitState.OPEN, now, open_until=None)
        elif mode == CircuitMode.FORCED_CLOSED:
            _force(circuit, CircuitState.CLOSED, now, open_until=None, open_seconds=0, closed_at=now)
        else:
            Circuit.objects.filter(pk=circuit.pk, state=CircuitState.OPEN, open_until=None).update(open_until=now)
        return True


def forced_too_long(now: datetime) -> list[tuple[str, str]]:
    """Return (provider, model) of the circuits whose time by hand is over; locks them, less those in other hands."""
    over = Circuit.objects.exclude(mode=CircuitMode.AUTO).filter(forced_until__lte=now).order_by("provider", "model")
    return list(over.select_for_update(skip_locked=True).values_list("provider_id", "model"))


def rest_no_longer(provider: str, now: datetime, *, model: str = "") -> bool:
    """Let an open circuit ask for its probe now, one that waits for an operator too; True if it was open."""
    opened = _of(provider, model).filter(mode=CircuitMode.AUTO, state=CircuitState.OPEN)
    return bool(opened.update(open_until=now))


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
            _record(seen.provider_id, seen.model, CircuitState(seen.state), to, why, now)
    return bool(moved)


def _record(provider: str, model: str, before: CircuitState, after: CircuitState, cause: str, now: datetime) -> None:
    CircuitTransition.objects.create(
        provider_id=provider, model=model, from_state=before, to_state=after, cause=cause[:200], created_at=now
    )
