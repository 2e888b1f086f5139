"""
What the end of an attempt says about its provider: moves of the circuits, each told to the operators.

A provider is judged by the attempts themselves: no counter is kept, and a success writes nothing (docs/decisions/0040).
Every function is part of its caller's transaction.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any

from django.db import transaction

from ai_tasks import doorbell, events
from ai_tasks.accounts.managers import End
from ai_tasks.accounts.models import Attempt, AttemptState
from providers import control, routing
from providers.errors import Blame, ConnectTimeout, Opens, ProviderError, RateLimited, Unavailable
from providers.types import OPEN_GATE, Gate
from queueing.models import QueueEntry
from queueing.states import ParkedReason

PROBE_LEASE = timedelta(seconds=120)
"""How soon admission looks again whether a half-open circuit's one call is still under way."""
LOOK_AGAIN = timedelta(seconds=60)
"""How soon to look again at a circuit that only an operator closes; closing it wakes who waits."""
LOOK_BACK = timedelta(hours=1)
"""Failures in a row that took longer say little about now."""
MOST_ENDS = 500
"""Attempts that one failure is seen among; of a busier provider, the newest."""
LIVE_ATTEMPTS = (AttemptState.ADMITTED, AttemptState.STARTED)
UNREACHABLE = (Unavailable, ConnectTimeout)
FORCED = {"forced_open": "open", "forced_closed": "closed"}


def key(provider: str, model: str) -> str:
    """Return what an entry waits for that is parked because its model's circuit is open."""
    return f"{provider}/{model}"


class Probes:
    """The half-open calls of one admission to a provider; `gates` is the provider's and its models', and kept up."""

    def __init__(self, provider: str, gates: dict[str, Gate], now: datetime) -> None:
        self.provider = provider
        self.gates = gates
        self.now = now

    def shut_until(self, model: str) -> datetime | None:
        """Return until when the model's own circuit keeps its entries waiting; None: it does not."""
        gate = self.gates.get(model, OPEN_GATE)
        return (gate.until or self.now + LOOK_AGAIN) if gate.reason else None

    def take(self, model: str) -> bool:
        """Lease what an entry of this model would try, the provider's and the model's half-open call; all or none."""
        for each in self._tried(model):
            if not routing.take_probe(self.provider, self.now + PROBE_LEASE, self.now, model=each):
                self.give_back(model)
                return False
            _tell(self.provider, each, "half_open", "rested")
            if self._is_under_way(each):  # a long call keeps what it tries: its lease is now renewed
                self.give_back(model)
                self.gates[each] = Gate("circuit_open", self.now + PROBE_LEASE, is_probing=True)
                return False
            self.gates[each] = Gate("circuit_open", self.now + PROBE_LEASE, is_probing=True)
        return True

    def _is_under_way(self, model: str) -> bool:
        held = QueueEntry.objects.at_provider().of(self.provider).values("task_id")
        live = Attempt.objects.filter(task__in=held, provider=self.provider, state__in=LIVE_ATTEMPTS)
        return live.filter(**({"is_model_probe": True, "model": model} if model else {"is_probe": True})).exists()

    def is_for(self, model: str) -> bool:
        """Has the model's half-open call been taken?"""
        return self.gates.get(model, OPEN_GATE).is_probing

    def give_back(self, model: str) -> None:
        """Let others try what was taken and will not be called."""
        for each in ("", model):
            if each in self.gates and self.gates[each].is_probing:
                self.gates[each] = Gate(probe=True)
                give_probe_back(self.provider, each)

    def _tried(self, model: str) -> list[str]:
        return [each for each in ("", model) if self.gates.get(each, OPEN_GATE).probe]


def end_probe(attempt: Attempt) -> None:
    """Let another call try what this one was to try, and ended without a verdict."""
    for model in probed(attempt):
        give_probe_back(attempt.provider, model)


def give_probe_back(provider: str, model: str) -> None:
    """End the probe's lease without a verdict, and let the next who waits for it try."""
    if control.give_probe_back(provider, model) and model:
        QueueEntry.objects.wake_keys([(ParkedReason.CIRCUIT_OPEN, key(provider, model))], most=1)


def succeeded(attempt: Attempt, now: datetime) -> None:
    """Close what the attempt was the probe of."""
    for model in probed(attempt):
        _close(attempt.provider, model, "probe_answered", now)


def failed(attempt: Attempt, error: ProviderError, now: datetime) -> None:
    """Open, open again or close the circuits that the error speaks of; a rate limit only shuts its own gate."""
    for model in probed(attempt):
        _judge_probe(attempt, model, error, now)
    blamed = attempt.model if error.blames == Blame.MODEL else ""
    if error.opens == Opens.NEVER or blamed in probed(attempt):
        return
    if error.opens == Opens.UNTIL_OPERATOR:
        waits = control.rule(attempt.provider).waits_for_operator
        _trip(attempt.provider, blamed, error, now, until_operator=waits)
    elif error.opens == Opens.AT_ONCE:
        # Names that callers make up are no reason to wait for anything.
        if routing.is_named(attempt.provider, attempt.model):
            _trip(attempt.provider, blamed, error, now)
    elif _is_enough(attempt.provider, blamed, error, now):
        _trip(attempt.provider, blamed, error, now)


def probed(attempt: Attempt) -> list[str]:
    """Return which circuits the attempt was to try: "" is the provider's."""
    return [""] * attempt.is_probe + [attempt.model] * attempt.is_model_probe


def _judge_probe(attempt: Attempt, model: str, error: ProviderError, now: datetime) -> None:
    blamed = error.blames if error.opens != Opens.NEVER else Blame.NOBODY
    if blamed == (Blame.MODEL if model else Blame.PROVIDER):
        latches = error.opens == Opens.UNTIL_OPERATOR and control.rule(attempt.provider).waits_for_operator
        _trip(attempt.provider, model, error, now, until_operator=latches)
    elif model and (blamed or isinstance(error, RateLimited)):
        give_probe_back(attempt.provider, model)
    else:
        _close(attempt.provider, model, "probe_answered", now)


def _is_enough(provider: str, model: str, error: ProviderError, now: datetime) -> bool:
    """Has the closed circuit seen enough failures since it closed: in a row, or among the calls of its window?"""
    closed_since = control.closed_since(provider, model)
    if closed_since is False:
        return False
    rule, since = control.rule(provider), now - LOOK_BACK
    ends = Attempt.objects.ends(provider, since, MOST_ENDS)
    if isinstance(closed_since, datetime):
        ends = [end for end in ends if end.started_at >= closed_since]
    fails = _verdicts(ends, model, since)
    in_a_row = sum(1 for _ in takewhile(bool, fails))
    recent = _verdicts(ends, model, now - timedelta(seconds=rule.window_seconds))
    is_reached = not isinstance(error, UNREACHABLE)
    return in_a_row >= (rule.failures_in_a_row if is_reached else rule.unreachable_in_a_row) or (
        len(recent) >= rule.least_calls and sum(recent) * 100 >= rule.failed_percent * len(recent)
    )


def _verdicts(ends: Sequence[End], model: str, since: datetime) -> list[bool]:
    """Return which of the attempts since then failed by the model's fault, or by the provider's; the newest first."""
    blamed = Blame.MODEL if model else Blame.PROVIDER
    return [end.blames == blamed for end in ends if end.finished_at > since and (not model or end.model == model)]


def _trip(provider: str, model: str, error: ProviderError, now: datetime, *, until_operator: bool = False) -> None:
    if control.trip(provider, cause=error.code, now=now, model=model, until_operator=until_operator):
        _tell(provider, model, "open", error.code)


def _close(provider: str, model: str, cause: str, now: datetime) -> None:
    if control.close(provider, cause=cause, now=now, model=model):
        _tell(provider, model, "closed", cause)


def _tell(provider: str, model: str, state: str, cause: str) -> None:
    """Tell the operators of a move, after the commit, and let those look again whom it concerns."""
    event: dict[str, Any] = {"name": "circuit.moved", "provider": provider, "model": model or None}
    event |= {"state": state, "cause": cause}
    transaction.on_commit(partial(events.send, events.OPERATIONS, event), robust=True)
    transaction.on_commit(partial(doorbell.ring, provider), robust=True)
    if model and state != "half_open":
        QueueEntry.objects.wake_keys([(ParkedReason.CIRCUIT_OPEN, key(provider, model))])


@transaction.atomic
def set_mode(provider: str, model: str, mode: str, now: datetime, *, until: datetime | None = None) -> bool:
    """Force a circuit open or closed, or give it back to itself (`auto`), for operators; True if it changed."""
    if not control.set_circuit_mode(provider, mode, now, model=model, until=until):
        return False
    _tell(provider, model, FORCED.get(mode, mode), "operator")
    return True


@transaction.atomic
def close(provider: str, model: str, now: datetime) -> bool:
    """Close an open circuit for an operator who has mended what it opened for; True if it was open."""
    if not control.close(provider, cause="operator", now=now, model=model, force=True):
        return False
    _tell(provider, model, "closed", "operator")
    return True
