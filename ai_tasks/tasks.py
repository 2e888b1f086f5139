"""Celery's entry points, one call each. Their arguments are ids; whatever else comes along is ignored."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.exceptions import Ignore
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings

from ai_tasks import (
    clock,
    courier,
    crash_points,
    dispatch,
    execution,
    finish_hooks,
    quarantine,
    retention,
    rollups,
    sweeps,
    worker,
)
from ai_tasks.accounts import alarms
from ai_tasks.models import BulkJob
from ai_tasks.ops import alerts, bulk, circuits, limits
from ai_tasks.redrives import jobs
from queueing import stored_jobs
from queueing.models import Redrive, TaskQueue
from queueing.stored_jobs import StoredJob

JOB_SLICE_SECONDS = 10.0
"""How long a job keeps one of the two threads that sweeps use; then it queues again."""


@worker_ready.connect
def join(sender: Any, **_: Any) -> None:
    """Make this worker known to admission, with the Celery queues that it consumes."""
    worker.join(worker.Intake(sender), settings.AI_WORKER_THREADS)


@worker_shutting_down.connect
def drain(**_: Any) -> None:
    """Take no more work."""
    worker.drain()


@worker_shutdown.connect
def leave(**_: Any) -> None:
    """Strike this worker from the registry."""
    worker.leave()


@shared_task(name=dispatch.RUN_TASK, ignore_result=True)
def run_task(*, task_id: str, epoch: int, dispatch_id: str, **_: Any) -> None:
    """Run one handed-over task."""
    execution.run(UUID(task_id), epoch, UUID(dispatch_id))


@shared_task(name=dispatch.RUN_ALONE_TASK, ignore_result=True)
def run_alone(*, task_id: str, epoch: int, dispatch_id: str, **_: Any) -> None:
    """Run one handed-over task that crashed its workers, in a process of its own."""
    quarantine.run(UUID(task_id), epoch, UUID(dispatch_id))


@shared_task(name="ai_tasks.admit", ignore_result=True)
def admit(**_: Any) -> None:
    """Wake this process's dispatcher for every provider, in case nobody else did."""
    dispatch.ring_all()


@shared_task(name="ai_tasks.rescue", ignore_result=True)
def rescue(**_: Any) -> None:
    """Rescue lost leases and lost messages."""
    now = clock.now()
    sweeps.rescue_lost_leases(now)
    sweeps.send_lost_messages(now)
    sweeps.mend_tasks_without_entry(now)
    sweeps.wake_series(now)
    sweeps.wake_shares(now)


@shared_task(name="ai_tasks.time_out", ignore_result=True)
def time_out(**_: Any) -> None:
    """End tasks whose deadline has passed."""
    sweeps.time_out(clock.now())


@shared_task(name="ai_tasks.charge_lost", ignore_result=True)
def charge_lost(**_: Any) -> None:
    """Charge lost attempts by estimate after their grace."""
    sweeps.charge_lost(clock.now())


@shared_task(name="ai_tasks.watch_budgets", ignore_result=True)
def watch_budgets(**_: Any) -> None:
    """Raise the alarms of budgets that are nearly or wholly used."""
    alarms.raise_due(clock.now())


@shared_task(name="ai_tasks.run_finish_hooks", ignore_result=True)
def run_finish_hooks(**_: Any) -> None:
    """Run the hooks of finished tasks that nobody ran."""
    finish_hooks.run_due(clock.now())


@shared_task(name="ai_tasks.send_webhooks", ignore_result=True)
def send_webhooks(**_: Any) -> None:
    """Send webhooks for some seconds, unless as many threads of this process as may do so already."""
    if not _senders.acquire(blocking=False):
        return
    try:
        give_up_at = time.monotonic() + JOB_SLICE_SECONDS
        while courier.send_due(clock.now()) and time.monotonic() < give_up_at:
            pass
    finally:
        _senders.release()


_senders = threading.BoundedSemaphore(settings.AI_WEBHOOK_THREADS)
"""A slow receiver keeps these threads, and never those of tasks or sweeps."""


@shared_task(name="ai_tasks.note_flow", ignore_result=True)
def note_flow(**_: Any) -> None:
    """Measure how fast the queues move."""
    TaskQueue.objects.note_flow(clock.now())


@shared_task(name="ai_tasks.roll_up", ignore_result=True)
def roll_up(**_: Any) -> None:
    """Roll up what has ended, for statistics and reports."""
    rollups.roll_up(clock.now())


@shared_task(name="ai_tasks.prune", ignore_result=True)
def prune(**_: Any) -> None:
    """Delete what has been kept for long enough, some thousand rows at a time."""
    retention.prune(clock.now())


@shared_task(name="ai_tasks.resume_redrives", ignore_result=True)
def resume_redrives(**_: Any) -> None:
    """Have a worker go on with each job that is due: new ones, rated ones, and those whose runner went away."""
    for redrive_id in Redrive.objects.due(clock.now()).values_list("pk", flat=True):
        send_redrive(redrive_id)
    for job_id in BulkJob.objects.due(clock.now()).values_list("pk", flat=True):
        send_bulk_job(job_id)


def send_redrive(redrive_id: UUID) -> None:
    """Ask a worker to go on with a job; all its messages have one Celery id, so that admin shows one result."""
    redrive.apply_async(
        kwargs={"redrive_id": str(redrive_id)}, task_id=str(redrive_id), queue="control", retry=False, expires=30
    )


def send_bulk_job(job_id: UUID) -> None:
    """The same for a bulk job."""
    bulk_job.apply_async(kwargs={"job_id": str(job_id)}, task_id=str(job_id), queue="control", retry=False, expires=30)


@shared_task(name="ai_tasks.redrive", bind=True, ignore_result=False)
def redrive(self: Any, *, redrive_id: str, **_: Any) -> dict[str, Any]:
    """Send dead letters back for some seconds; progress, and at last the counts, are kept among the results."""
    return _go_on(self, Redrive, jobs.carry_out(UUID(redrive_id)), UUID(redrive_id), send_redrive)


@shared_task(name="ai_tasks.bulk_job", bind=True, ignore_result=False)
def bulk_job(self: Any, *, job_id: str, **_: Any) -> dict[str, Any]:
    """Do a bulk job for some seconds; otherwise as `redrive`."""
    return _go_on(self, BulkJob, bulk.carry_out(UUID(job_id)), UUID(job_id), send_bulk_job)


def _go_on(
    celery_task: Any, kind: type[Any], batches: Generator[Any, None, None], job_id: UUID, again: Callable[[UUID], None]
) -> dict[str, Any]:
    give_up_at = time.monotonic() + JOB_SLICE_SECONDS
    with closing(batches):
        for job in batches:
            crash_points.reached("batched")
            celery_task.update_state(state="PROGRESS", meta=stored_jobs.progress(job))
            if time.monotonic() > give_up_at:
                break
    job = kind.objects.get(pk=job_id)
    if job.state != StoredJob.State.RUNNING:
        return stored_jobs.progress(job)
    if kind.objects.due(clock.now()).filter(pk=job_id).exists():
        again(job_id)
    # Without a result of this slice: what was told last stands.
    raise Ignore


@shared_task(name="ai_tasks.watch", ignore_result=True)
def watch(**_: Any) -> None:
    """End what operators set for a while."""
    now = clock.now()
    circuits.give_back_due(now)
    limits.revert_due(now)


@shared_task(name="ai_tasks.alert", ignore_result=True)
def alert(**_: Any) -> None:
    """Raise and clear alerts, and mail the new ones."""
    alerts.sweep(clock.now())
    alerts.mail_due(clock.now())


@shared_task(name="ai_tasks.tidy")
def tidy(**_: Any) -> int:
    """Delete what has expired and wake what was forgotten; the count is kept among the results in admin."""
    sweeps.wake_parked(clock.now())
    return sweeps.tidy(clock.now()) + courier.forget_old(clock.now())
