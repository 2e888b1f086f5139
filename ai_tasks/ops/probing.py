"""Ask a provider something small now, to see whether it answers."""

from django.contrib.auth import get_user_model
from django.db import transaction

from ai_tasks.errors import NotPossible
from ai_tasks.models import AIGenerationTask
from ai_tasks.ops import audit
from ai_tasks.ops.audit import By, Kind
from ai_tasks.oversight.actions import Action
from ai_tasks.submission import TaskRequest, submit
from providers import control, routing
from queueing.models import TaskQueue
from queueing.states import Priority

PROBE = "provider.probe"


@transaction.atomic
def probe_now(provider: str, model: str, by: By) -> AIGenerationTask:
    """
    Submit a probe of a model and return its task; an open circuit rests no longer, and tries itself by it.

    Raises NotPossible where no call would be made (paused, forced open), and what `submit` raises.
    """
    if any(queue.is_paused(by.at) for queue in TaskQueue.objects.filter(provider=provider)):
        raise NotPossible("The provider is paused: resume it first.")
    if routing.circuit(provider)["mode"] == "forced_open":
        raise NotPossible("Its circuit is forced open: give it back to itself first.")
    before = {"state": routing.circuit(provider)["state"]}
    for name in ("", model):
        control.rest_no_longer(provider, by.at, model=name)
    owner = get_user_model()._default_manager.get(pk=by.user_id)
    wish = TaskRequest(type=PROBE, input={}, model=f"{provider}/{model}", priority=Priority.URGENT)
    task = submit(owner, wish, now=by.at)
    after = {"model": model, "task_id": str(task.pk)}
    audit.write(by, Action.PROBE_PROVIDER, Kind.PROVIDER, provider, before=before, after=after)
    return task
