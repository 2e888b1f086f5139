"""Addresses of what operators do; part of the console's."""

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path

from ai_tasks.ops.actions import jobs, letters, providers, tasks
from ai_tasks.ops.actions.record import AuditFile, AuditPage
from ai_tasks.ops.actions.wish import WishPage

PAGES: tuple[type[WishPage], ...] = (
    providers.Pause,
    providers.Drain,
    providers.Resume,
    providers.ForceCircuit,
    providers.ForceFallback,
    providers.Probe,
    providers.SetLimits,
    tasks.CancelTasks,
    tasks.RetryTasks,
    tasks.Reprioritise,
    tasks.ReleaseLeases,
    letters.RedriveLetters,
    letters.DiscardLetters,
    letters.EditLetter,
    jobs.StopJob,
    jobs.ResumeJob,
)
DO = {page.action.value: page.as_view() for page in PAGES}


def do(request: HttpRequest, action: str) -> HttpResponseBase:
    """Answer with the page of that action."""
    if action not in DO:
        raise Http404
    return DO[action](request)


urlpatterns = [
    path("do/<slug:action>/", do, name="do"),
    path("jobs/", jobs.JobsPage.as_view(), name="jobs"),
    path("jobs/<uuid:job_id>/", jobs.JobPage.as_view(), name="job"),
    path("audit/", AuditPage.as_view(), name="audit"),
    path("audit.csv", AuditFile.as_view(), name="audit-file"),
]
