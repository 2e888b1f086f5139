"""The pages: a server-rendered shell with the data that its scripts begin with."""

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ai_tasks import clock
from ai_tasks.models_on_offer import models_on_offer
from chat.models import ChatSession
from chat.snapshots import snapshot
from chat.texts import page_texts
from chat.usage import month_json

SESSIONS_SHOWN = 100
AUTO = "default"
"""The route that is called `auto` in the picker: the reader need not know where it leads."""


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Open the session that was used last, or the page for a new one."""
    newest = _own(request).first()
    return redirect("chat:page", session_id=newest.pk) if newest else redirect("chat:new")


@require_safe
@login_required
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    """Show the page without a session; the first message makes one."""
    return _page(request, None)


@require_safe
@login_required
@never_cache
def page(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Show one session; somebody else's is as missing as one that never was."""
    session = ChatSession.objects.for_user(request.user).filter(pk=session_id).first()
    if session is None:
        raise Http404
    return _page(request, session)


def _own(request: HttpRequest) -> Any:
    return ChatSession.objects.for_user(request.user).open().newest_first()


def _page(request: HttpRequest, session: ChatSession | None) -> HttpResponse:
    start = {
        "language": get_language(),
        "session_id": str(session.pk) if session else None,
        "snapshot": snapshot(session) if session else None,
        "month": month_json(request.user, clock.now()),
        "texts": page_texts(),
    }
    context = {
        "session": session,
        "sessions": _own(request)[:SESSIONS_SHOWN],
        "models": _models(session),
        "start": start,
    }
    return render(request, "chat/page.html", context)


def _models(session: ChatSession | None) -> list[tuple[str, str, bool]]:
    """Return (id, label, is chosen) of what the picker offers, the session's own among them in any case."""
    chosen = session.model if session else "default"
    offered = models_on_offer()
    if chosen not in [model for model, _label in offered]:
        offered = [(chosen, chosen), *offered]
    return [(model, _("auto") if model == AUTO else label, model == chosen) for model, label in offered]
