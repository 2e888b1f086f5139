"""Stop a stored job, or let it go on: a redrive or a bulk job."""

from typing import Any

from django.db import transaction

from ai_tasks.ops import audit
from ai_tasks.ops.audit import By, Kind
from ai_tasks.oversight.actions import Action
from queueing.stored_jobs import StoredJob


@transaction.atomic
def stop_job(job: StoredJob, by: By) -> bool:
    """Do nothing more; what was done stays. True if it ran."""
    jobs: Any = type(job).objects
    stopped: bool = jobs.stop(job.pk, by=by.name, now=by.at)
    if stopped:
        before, after = {"state": "running"}, {"state": "stopped"}
        audit.write(by, Action.STOP_JOB, Kind.JOB, job.pk, before=before, after=after)
    return stopped


@transaction.atomic
def resume_job(job: StoredJob, by: By) -> bool:
    """Let a stopped job go on from where it was; True if it was stopped."""
    jobs: Any = type(job).objects
    resumed: bool = jobs.resume(job.pk, now=by.at)
    if resumed:
        before, after = {"state": "stopped"}, {"state": "running"}
        audit.write(by, Action.RESUME_JOB, Kind.JOB, job.pk, before=before, after=after)
    return resumed
