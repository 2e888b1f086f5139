"""Change how much a provider may bear, for a while or for good."""

from dataclasses import asdict
from datetime import datetime
from functools import partial

from django.db import transaction

from ai_tasks import dispatch
from ai_tasks.ops import audit
from ai_tasks.ops.audit import By, Kind
from ai_tasks.oversight.actions import Action
from ai_tasks.representation import moment
from providers import control, routing
from providers.types import Limits
from queueing.models import QueueEntry
from queueing.states import ParkedReason


@transaction.atomic
def set_limits(provider: str, limits: Limits, by: By, *, model: str = "", back_at: datetime | None = None) -> None:
    """
    Bound a provider, or one of its models, from the next admission on; at `back_at` it is bounded as before again.

    What was parked for the old bounds looks again at once. The history is the audit.
    """
    before = routing.limits(provider).get(model, Limits())
    control.set_limits(provider, limits, model=model, back_at=back_at, back_to=before if back_at else None)
    key = f"{provider}/{model}" if model else provider
    after = asdict(limits) | ({"back_at": moment(back_at)} if back_at else {})
    audit.write(by, Action.SET_LIMITS, Kind.PROVIDER, key, before=asdict(before), after=after)
    _wake(provider, model)


def _wake(provider: str, model: str) -> None:
    names = [model] if model else [name for name in routing.limits(provider) if name]
    for why in (ParkedReason.MODEL_LIMIT, ParkedReason.UNSATISFIABLE):
        QueueEntry.objects.wake_keys([(why, f"{provider}/{name}") for name in names])
    transaction.on_commit(partial(dispatch.ring, provider), robust=True)


@transaction.atomic
def revert_due(now: datetime) -> int:
    """Bound what was changed for a while as before again; return how many."""
    due, by = control.due_reversals(now), audit.by_system("Its time is over.", now)
    for provider, model, limits in due:
        set_limits(provider, limits, by, model=model)
    return len(due)
