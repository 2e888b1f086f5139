"""Take a provider's circuit by hand, or give it back."""

from datetime import datetime
from typing import Any

from django.db import transaction

from ai_tasks import breaker
from ai_tasks.ops import audit
from ai_tasks.ops.audit import By, Kind
from ai_tasks.oversight.actions import Action
from ai_tasks.representation import moment
from providers import control, routing

CLOSE = "closed"
"""As a mode: automatic, and closed now."""
MODES = ("auto", "forced_open", "forced_closed", CLOSE)


@transaction.atomic
def force_circuit(
    provider: str,
    mode: str,
    by: By,
    *,
    model: str = "",
    until: datetime | None = None,
    action: Action = Action.FORCE_CIRCUIT,
) -> bool:
    """
    Force the circuit of a provider or its model open or closed, until then or for good; True if that changed it.

    `auto` gives it back to itself, `closed` does and closes it.
    """
    before = _standing(provider, model)
    changed = breaker.set_mode(provider, model, "auto" if mode == CLOSE else mode, by.at, until=until)
    if mode == CLOSE:
        changed = breaker.close(provider, model, by.at) or changed
    key = f"{provider}/{model}" if model else provider
    audit.write(by, action, Kind.PROVIDER, key, before=before, after=_standing(provider, model))
    return changed


def _standing(provider: str, model: str) -> dict[str, Any]:
    whole = routing.circuit(provider)
    row = whole["models"].get(model, {"state": "closed", "mode": "auto"}) if model else whole
    until = {"forced_until": moment(row["forced_until"])} if row.get("forced_until") else {}
    return {"state": row["state"], "mode": row["mode"], **until}


@transaction.atomic
def give_back_due(now: datetime) -> int:
    """Give the circuits back to themselves whose time by hand is over; return how many."""
    by = audit.by_system("Its time is over.", now)
    return sum(force_circuit(name, "auto", by, model=model) for name, model in control.forced_too_long(now))
