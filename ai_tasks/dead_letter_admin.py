"""Dead letters and redrives in Django admin: look, send back, stop."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ai_tasks.ops import audit, letters
from ai_tasks.ops.jobs import resume_job, stop_job
from ai_tasks.oversight.actions import Action
from ai_tasks.redrives import jobs
from queueing.admin import ReadOnlyAdmin
from queueing.dead_letters import filters
from queueing.errors import BadFilter
from queueing.models import DeadLetter, Redrive

NOT_FILTERS = {"p", "o", "all", "_facets"}
"""Parameters of a list that choose no rows."""
SHOWN = 10
MOST_IN_AN_ADDRESS = 50


class OperatedAdmin(ReadOnlyAdmin):
    """Rows that operators act on but do not edit."""

    show_full_result_count = False

    def has_redrive_permission(self, request: HttpRequest) -> bool:
        """May this operator send tasks back?"""
        return request.user.has_perm(Action.REDRIVE.permission)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """May this operator discard dead letters?"""
        return request.user.has_perm(Action.DISCARD.permission)

    def has_stop_permission(self, request: HttpRequest) -> bool:
        """May this operator stop jobs?"""
        return request.user.has_perm(Action.STOP_JOB.permission)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        """May this operator let jobs go on?"""
        return request.user.has_perm(Action.RESUME_JOB.permission)


@admin.register(DeadLetter)
class DeadLetterAdmin(OperatedAdmin):
    """Tasks that will not run again by themselves."""

    list_display = (
        "task_id",
        "task_type",
        "provider",
        "reason",
        "error_class",
        "short_message",
        "attempts",
        "resolution",
        "created_at",
    )
    list_filter = ("resolution", "provider", "error_class", "reason", "task_type")
    search_fields = ("=task_id", "=fingerprint")
    list_per_page = 50
    actions = ("retry", "discard")

    @admin.display(description=_("message"))
    def short_message(self, letter: DeadLetter) -> str:
        """Return the beginning of the message."""
        return letter.message[:100]

    @admin.action(description=_("Retry the selected tasks"), permissions=["redrive"])
    def retry(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> None:
        """Begin a redrive of the open ones; of few it is done at once, of many a worker does it."""
        total = chosen.filter(resolution=DeadLetter.Resolution.OPEN).count()
        try:
            job = letters.redrive(_choice(request, chosen), audit.by_request(request)) if total else None
        except BadFilter:
            text = _("Too many for a search: choose them by the filters beside the list.")
            self.message_user(request, text, messages.ERROR)
            return
        if job is None or job.total <= jobs.BATCH:
            self._retry_now(request, job)
        else:
            link = reverse("admin:queueing_redrive_change", args=[job.pk])
            text = _("A redrive of {} dead letters has begun.")
            self.message_user(request, format_html('<a href="{}">{}</a>', link, text.format(job.total)))

    @admin.action(description=_("Discard the selected dead letters"), permissions=["discard"])
    def discard(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Lead to the console's page, which asks why."""
        wanted = _choice(request, chosen)
        if not wanted or not wanted.get("ids", True) or len(wanted.get("ids", ())) > MOST_IN_AN_ADDRESS:
            text = _("Too many or none: choose them by the filters of the console's dead letters.")
            self.message_user(request, text, messages.ERROR)
            return None
        query = urlencode(wanted, doseq=True)
        return HttpResponseRedirect(f"{reverse('ops:do', args=[Action.DISCARD])}?{query}")

    def _retry_now(self, request: HttpRequest, job: Redrive | None) -> None:
        for _batch in jobs.carry_out(job.pk) if job else ():
            pass
        letters = DeadLetter.objects.filter(redrive=job) if job else DeadLetter.objects.none()
        sent = letters.filter(redrive_outcome=DeadLetter.Outcome.SENT).count()
        said = ngettext("%(count)d task will be tried again.", "%(count)d tasks will be tried again.", sent)
        self.message_user(request, said % {"count": sent}, messages.SUCCESS if sent else messages.WARNING)
        for letter in letters.exclude(redrive_outcome=DeadLetter.Outcome.SENT)[:SHOWN]:
            self.message_user(request, f"{letter.task_id}: {letter.redrive_detail}", messages.ERROR)


def _choice(request: HttpRequest, chosen: QuerySet[DeadLetter]) -> dict[str, Any]:
    """Return what was selected as filters: by the list's own, when all that match them are meant; else by ids."""
    given = {name.removesuffix("__exact"): name for name in request.GET if name not in NOT_FILTERS}
    if request.POST.get("select_across") == "1" and set(given) <= set(filters.NAMES):
        return {word: request.GET.getlist(name) for word, name in given.items() if word != "resolution"}
    still_open = chosen.filter(resolution=DeadLetter.Resolution.OPEN)
    return {"ids": list(still_open.values_list("pk", flat=True)[: filters.MOST_IDS + 1])}


@admin.register(Redrive)
class RedriveAdmin(OperatedAdmin):
    """Jobs that send dead letters back."""

    list_display = (
        "id",
        "state",
        "requested_by",
        "reason",
        "provider",
        "rate_per_second",
        "total",
        "done",
        "skipped",
        "failed",
        "created_at",
        "finished_at",
        "stopped_at",
    )
    list_filter = ("state",)
    actions = ("stop", "resume")

    @admin.action(description=_("Stop the selected redrives"), permissions=["stop"])
    def stop(self, request: HttpRequest, chosen: QuerySet[Redrive]) -> None:
        """Send nothing more; what was sent goes on."""
        by = audit.by_request(request)
        count = sum(stop_job(job, by) for job in chosen)
        self.message_user(request, ngettext("%d redrive stopped.", "%d redrives stopped.", count) % count)

    @admin.action(description=_("Let the selected redrives go on"), permissions=["resume"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Redrive]) -> None:
        """Go on from where they were."""
        by = audit.by_request(request)
        count = sum(resume_job(job, by) for job in chosen)
        self.message_user(request, ngettext("%d redrive goes on.", "%d redrives go on.", count) % count)
