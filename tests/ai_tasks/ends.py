"""Attempts that end as a test says, and what became of the circuits."""

from typing import Any

from django.contrib.auth.models import User

from ai_tasks.models import AIGenerationTask, Attempt
from providers.errors import ProviderError
from providers.models import Circuit, CircuitRule, CircuitTransition
from queueing.models import QueueEntry
from tests.engine import answer, at, attempt_of, claimed, text_task

tasks = AIGenerationTask.objects
SIM = "simulator/sim-1"


def end(owner: User, seconds: float, outcome: ProviderError | None = None, *, model: str = SIM) -> Attempt:
    """Run a task of its own to this outcome within half a second."""
    task = text_task(owner, model=model, now=at(seconds))
    held = claimed(now=at(seconds))
    assert held.task.pk == task.pk
    if outcome is None:
        assert tasks.complete(task.pk, held.epoch, answer(), now=at(seconds + 0.5))
    else:
        assert tasks.fail(task.pk, held.epoch, outcome, now=at(seconds + 0.5))
    set_aside(task)
    return attempt_of(task)


def set_aside(task: AIGenerationTask) -> None:
    """Keep the task's next try from happening."""
    QueueEntry.objects.filter(task_id=task.pk).update(state="parked", parked_reason="scheduled", parked_until=None)


def state(model: str = "") -> str:
    found = Circuit.objects.filter(provider="simulator", model=model).first()
    return found.state if found else "none"


def set_rule(**values: Any) -> None:
    CircuitRule.objects.update_or_create(provider_id="simulator", defaults=values)


def moves() -> list[tuple[str, str, str]]:
    return list(CircuitTransition.objects.order_by("id").values_list("model", "to_state", "cause"))
