"""The jobs: how far each is and what became of its objects; and the actions on a job."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks import clock
from ai_tasks.models import BulkJob, JobOutcome
from ai_tasks.ops.actions.chosen import told
from ai_tasks.ops.actions.wish import Done, Subject, WishPage
from ai_tasks.ops.audit import By
from ai_tasks.ops.jobs import resume_job, stop_job
from ai_tasks.ops.pages.desk import Page, as_id, asked
from ai_tasks.oversight.actions import Action
from queueing.models import DeadLetter, Redrive
from queueing.stored_jobs import StoredJob

SHOWN = 25
NEEDS = "queueing.view_redrive"


def find(job_id: UUID | None) -> Redrive | BulkJob:
    """Return the job of that id, of either kind; raises Http404."""
    kinds: tuple[Any, ...] = (Redrive, BulkJob)
    found: Redrive | BulkJob | None = next((row for kind in kinds for row in kind.objects.filter(pk=job_id)), None)
    if job_id is None or found is None:
        raise Http404
    return found


class JobView:
    """A job as it is shown."""

    def __init__(self, job: Any, now: datetime) -> None:
        self.job = job
        self.now = now

    @property
    def label(self) -> Any:
        """What it does."""
        return Action(self.job.action).label if isinstance(self.job, BulkJob) else Action.REDRIVE.label

    @property
    def share(self) -> float:
        """How much of it is dealt with, from 0 to 1."""
        return min(1.0, self.job.dealt_with / self.job.total) if self.job.total else 1.0

    @property
    def left(self) -> timedelta | None:
        """In how long it will be done, at its rate, or at that of its time so far; None: not running, or not known."""
        if self.job.state != StoredJob.State.RUNNING or not self.job.started_at:
            return None
        rest = max(0, self.job.total - self.job.dealt_with)
        if rate := getattr(self.job, "rate_per_second", None):
            return timedelta(seconds=rest / rate)
        took = (self.now - self.job.started_at).total_seconds()
        return timedelta(seconds=rest * took / self.job.dealt_with) if self.job.dealt_with else None


class JobsPage(Page):
    """`/admin/ops/jobs/`, the newest first."""

    needs = NEEDS
    title = gettext_lazy("Jobs")
    template = "jobs.html"
    live_seconds = 3

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return one page of jobs of both kinds; their ids grow with time."""
        before, now = as_id(asked(request, "before")["before"]), clock.now()
        older = {"pk__lt": before} if before else {}
        kinds: tuple[Any, ...] = (Redrive, BulkJob)
        rows = [row for kind in kinds for row in kind.objects.filter(**older).order_by("-pk")[: SHOWN + 1]]
        rows.sort(key=lambda row: row.pk, reverse=True)
        following = rows[SHOWN - 1].pk if len(rows) > SHOWN else None
        return {
            "jobs": [JobView(row, now) for row in rows[:SHOWN]],
            "before": following,
            "is_first": before is None,
        }


class JobPage(Page):
    """`/admin/ops/jobs/{id}/`; `?outcome=` chooses rows, `?after=` goes on."""

    needs = NEEDS
    template = "job.html"
    live_seconds = 2

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return the job and what became of its objects."""
        job, now = find(kwargs["job_id"]), clock.now()
        chosen = asked(request, "outcome", "after")
        rows = _outcomes(job, chosen["outcome"], chosen["after"])
        shown = JobView(job, now)
        return {
            "title": shown.label,
            "shown": shown,
            "job": job,
            "filters": told(job.filters),
            "chosen": chosen,
            "outcomes": JobOutcome.Outcome.choices if isinstance(job, BulkJob) else DeadLetter.Outcome.choices,
            "rows": rows[:SHOWN],
            "after": rows[SHOWN - 1]["id"] if len(rows) > SHOWN else None,
            "is_bulk": isinstance(job, BulkJob),
        }


def _outcomes(job: Redrive | BulkJob, outcome: str, after: str) -> list[dict[str, Any]]:
    """Return the next objects that the job dealt with, as dicts: `id`, `target`, `outcome`, `detail`."""
    if isinstance(job, BulkJob):
        rows: Any = job.outcomes.filter(**({"outcome": outcome} if outcome else {}))
        rows = rows.filter(pk__gt=int(after)) if after.isdigit() and len(after) < 19 else rows
        columns = ("id", "target", "outcome", "detail")
    else:
        rows = job.dead_letters.filter(**({"redrive_outcome": outcome} if outcome else {}))
        rows = rows.filter(pk__gt=as_id(after)) if as_id(after) else rows
        columns = ("id", "task_id", "redrive_outcome", "redrive_detail")
    names = ("id", "target", "outcome", "detail")
    found = rows.order_by("pk").values_list(*columns)[: SHOWN + 1]
    return [dict(zip(names, row, strict=True)) for row in found]


class JobWish(WishPage):
    """An action on the job that the query names."""

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return the job."""
        job = find(as_id(request.GET.get("job", "")))
        found = Subject(_("Job: %(name)s") % {"name": JobView(job, clock.now()).label}, _home(job), job)
        found.facts = [(_("Done"), f"{job.dealt_with:,} / {job.total:,}"), (_("State"), job.get_state_display())]
        return found


def _home(job: Any) -> str:
    return reverse("ops:job", args=[job.pk])


class StopJob(JobWish):
    """Stop."""

    action = Action.STOP_JOB
    effect = gettext_lazy("Nothing more is done by it; what it did stays. It can go on later.")

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Stop it."""
        return Done(_("The job is stopped.") if stop_job(subject.key, by) else _("It did not run any more."))


class ResumeJob(JobWish):
    """Let it go on."""

    action = Action.RESUME_JOB
    effect = gettext_lazy("It goes on from where it was.")

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Let it go on."""
        return Done(_("The job goes on.") if resume_job(subject.key, by) else _("It was not stopped."))
