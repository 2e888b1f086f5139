"""What every page of the console has in common: who may see it, its frame, and its fragment for live refresh."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.views.generic import View

from ai_tasks import clock

FRAGMENT = "X-Fragment"
"""A request with this header wants the content alone, without the frame: the page is refreshing itself."""


class StaffPage(View):
    """A page for the staff who have its permission: others get 403, anonymous ones the login page."""

    needs: str = ""
    """The permission, as `app.codename`."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Let those in who may see it."""
        user: Any = request.user
        if not user.is_authenticated:
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        request.current_app = admin.site.name
        try:
            if not (user.is_active and user.is_staff and user.has_perm(self.needs)):
                raise PermissionDenied(_("The permission %(name)s is missing.") % {"name": self.needs})
            response = super().dispatch(request, *args, **kwargs)
        except (BadRequest, PermissionDenied) as error:
            response = _refused(request, error)
        add_never_cache_headers(response)
        return response


def _refused(request: HttpRequest, error: BadRequest | PermissionDenied) -> HttpResponse:
    """Answer 400 or 403, and say what is wrong: Django's own pages would not."""
    context = {**admin.site.each_context(request), "frame": "admin/ops/base.html", "mistake": str(error)}
    context["title"] = _("This cannot be shown")
    status = 400 if isinstance(error, BadRequest) else 403
    return TemplateResponse(request, "admin/ops/refused.html", context, status=status)


class Page(StaffPage):
    """A page that is looked at: a title, a template, what it shows, and how often it refreshes itself."""

    title: Any = ""
    template = ""
    live_seconds = 0
    """How often the page asks for its content again; 0: never by itself."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the page, or its content alone."""
        is_fragment = FRAGMENT in request.headers
        context = {
            **({} if is_fragment else admin.site.each_context(request)),
            "is_nav_sidebar_enabled": False,
            "frame": "admin/ops/fragment.html" if is_fragment else "admin/ops/base.html",
            "title": self.title,
            "live_seconds": self.live_seconds,
            "now": clock.now(),
            **self.context(request, **kwargs),
        }
        response = TemplateResponse(request, f"admin/ops/{self.template}", context)
        response.headers["Vary"] = FRAGMENT
        return response

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return what the template shows; it may replace the title."""
        raise NotImplementedError


LONGEST = 200


def asked(request: HttpRequest, *names: str) -> dict[str, str]:
    """Return these parameters of the query, empty where they are not given; answers 400 to what no filter can hold."""
    found = {name: request.GET.get(name, "").strip() for name in names}
    for name, value in found.items():
        if not value.isprintable() or len(value) > LONGEST:
            raise BadRequest(_("%(name)s: %(most)d printable characters at most.") % {"name": name, "most": LONGEST})
    return found


def as_id(text: str) -> UUID | None:
    """Return the id that a text is, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None
