"""What was done, to be looked at and taken away: by the console's actions, and by the forms of the plain admin."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from ai_tasks import tables
from ai_tasks.errors import InvalidInput
from ai_tasks.models import AuditEntry
from ai_tasks.ops.pages.desk import Page, StaffPage, asked
from ai_tasks.oversight.actions import Action
from ai_tasks.pagination import page

SHOWN = "25"
IN_FILE = 10_000
FORMS = "forms"
"""As `view`: what was changed in the plain admin's forms; Django notes that by itself."""
COLUMNS = {"action": "action", "actor": "actor", "kind": "object_kind", "key": "object_key"}
FILED = ("at", "actor", "action", "object_kind", "object_key", "count", "before", "after", "reason", "request_id")


class AuditPage(Page):
    """`/admin/ops/audit/`; `?action=`, `?actor=`, `?kind=` and `?key=` (of an object) choose entries."""

    needs = "ai_tasks.view_auditentry"
    title = _("Audit")
    template = "audit.html"

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return one page of entries, the newest first."""
        chosen = asked(request, "view", *COLUMNS)
        are_forms = chosen["view"] == FORMS
        wanted = {"limit": SHOWN} | {name: request.GET[name] for name in ("cursor",) if name in request.GET}
        rows: Any = LogEntry.objects.select_related("user", "content_type") if are_forms else _entries(chosen)
        try:
            found = page(rows, wanted, list)
        except InvalidInput as error:
            raise Http404 from error
        return {
            "chosen": chosen,
            "are_forms": are_forms,
            "actions": Action.choices,
            "kinds": AuditEntry.Kind.choices,
            "entries": found["data"],
            "next": found["next"],
            "is_first": "cursor" not in request.GET,
        }


def _entries(chosen: dict[str, str]) -> Any:
    return AuditEntry.objects.filter(
        **{COLUMNS[name]: value for name, value in chosen.items() if value and name in COLUMNS}
    )


class AuditFile(StaffPage):
    """`/admin/ops/audit.csv`: the same entries of the actions, the newest IN_FILE of them."""

    needs = "ai_tasks.view_auditentry"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Return the file."""
        rows = _entries(asked(request, *COLUMNS)).order_by("-pk")[:IN_FILE].values(*FILED)
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
        return HttpResponse(tables.csv(FILED, rows), content_type=tables.CSV, headers=headers)
