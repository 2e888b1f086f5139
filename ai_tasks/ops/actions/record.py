"""The audit, to be looked at."""

from typing import Any

from django.http import Http404, HttpRequest
from django.utils.translation import gettext_lazy as _

from ai_tasks.errors import InvalidInput
from ai_tasks.models import AuditEntry
from ai_tasks.ops.pages.desk import Page, asked
from ai_tasks.oversight.actions import Action
from ai_tasks.pagination import page

SHOWN = "25"


class AuditPage(Page):
    """`/admin/ops/audit/`; `?action=`, `?actor=`, `?kind=` and `?key=` (of an object) choose entries."""

    needs = "ai_tasks.view_auditentry"
    title = _("Audit")
    template = "audit.html"

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return one page of entries, the newest first."""
        chosen = asked(request, "action", "actor", "kind", "key")
        columns = {"action": "action", "actor": "actor", "kind": "object_kind", "key": "object_key"}
        given = {columns[name]: value for name, value in chosen.items() if value}
        wanted = {"limit": SHOWN} | {name: request.GET[name] for name in ("cursor",) if name in request.GET}
        try:
            found = page(AuditEntry.objects.filter(**given), wanted, list)
        except InvalidInput as error:
            raise Http404 from error
        return {
            "chosen": chosen,
            "actions": Action.choices,
            "kinds": AuditEntry.Kind.choices,
            "entries": found["data"],
            "next": found["next"],
            "is_first": "cursor" not in request.GET,
        }
