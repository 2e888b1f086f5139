"""Dead tasks in numbers, without the lives before."""

from typing import Any

from django.contrib.auth.models import User

from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives import jobs
from queueing.dead_letters.fingerprint import fingerprint
from queueing.models import DeadLetter, Redrive
from tests.engine import NOW, at

ROUTE = [["simulator", "sim-1"]]


def bury(owner: User, count: int = 1, *, error_class: str = "unavailable", **of_task: Any) -> list[AIGenerationTask]:
    """Write failed tasks with their open letters; return them in the order of the letters."""
    route = of_task.setdefault("route", ROUTE)
    place = route[of_task.get("route_position", 0)]
    given = {
        "type": "text.generate",
        "status": "failed",
        "requested_model": "default",
        "provider": place[0],
        "model": place[1],
        "input": {"prompt": "Name a river."},
        "error": {"code": error_class, "message": "No.", "retryable": True},
        **dict.fromkeys(("created_at", "finished_at", "deadline_at"), NOW),
    }
    tasks = AIGenerationTask.objects.bulk_create(
        [AIGenerationTask(owner=owner, **given | of_task) for _ in range(count)]
    )
    DeadLetter.objects.bulk_create([_letter(task, error_class) for task in tasks])
    return tasks


def _letter(task: AIGenerationTask, error_class: str) -> DeadLetter:
    return DeadLetter(
        task_id=task.pk,
        task_type=task.type,
        provider=task.provider,
        model=task.model,
        lane=task.lane,
        owner_key=str(task.owner_id),
        reason="tries_used_up",
        error_class=error_class,
        message="No.",
        fingerprint=fingerprint(error_class, "No."),
        estimate_input_tokens=1_000,
        max_output_tokens=500,
        payload_place=f"ai_tasks_aigenerationtask:{task.pk}",
        created_at=NOW,
    )


def letter_of(task: AIGenerationTask) -> DeadLetter:
    """Return the task's letter; there must be one."""
    return DeadLetter.objects.get(task_id=task.pk)


def redrive(chosen: Any = None, *, seconds: float = 10, **wish: Any) -> Redrive:
    """Begin a redrive and carry it out as far as it goes at that second; return it as it is stored."""
    job = jobs.begin({} if chosen is None else chosen, by="carol", now=at(1), **wish)
    return carried_out(job, seconds)


def carried_out(job: Redrive, seconds: float) -> Redrive:
    """Carry a job out as far as it goes at that second; return it as it is stored."""
    for _ in jobs.carry_out(job.pk, tell=lambda: at(seconds)):
        pass
    return Redrive.objects.get(pk=job.pk)


def counts(job: Redrive) -> tuple[int, int, int, int]:
    """Return (total, done, skipped, failed)."""
    return job.total, job.done, job.skipped, job.failed
