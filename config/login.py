"""Signing in: by a password, with a bound on failures, or by a one-time link."""

from hashlib import sha256
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from ai_tasks import clock
from ai_tasks.access import login_links, throttle

FAILURES_SECONDS = 900
MOST_FAILURES = 10
"""Of one name from one address, within FAILURES_SECONDS."""
MOST_FAILURES_OF_AN_ADDRESS = 100


class _Bounded:
    """After too many failures, passwords are not even looked at; whoever knows the right one waits, too."""

    request: HttpRequest | None
    cleaned_data: dict[str, Any]

    def clean(self) -> dict[str, Any]:
        """Check name and password, unless there were too many failures."""
        address = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        name = sha256(self.cleaned_data.get("username", "").casefold().encode()).hexdigest()
        bounds = {f"login:{address}:{name}": MOST_FAILURES, f"login:{address}": MOST_FAILURES_OF_AN_ADDRESS}
        now = clock.now()
        found = [throttle.look(caller, limit, now, window_seconds=FAILURES_SECONDS) for caller, limit in bounds.items()]
        if wait := max(each.retry_after_seconds if each else 0 for each in found):
            raise _too_many(wait)
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            for caller, limit in bounds.items():
                throttle.count(caller, limit, now, window_seconds=FAILURES_SECONDS)
            raise
        return cleaned


def _too_many(wait_seconds: int) -> ValidationError:
    minutes = -(-wait_seconds // 60)
    text = ngettext(
        "Too many attempts. Try again in %(minutes)s minute.",
        "Too many attempts. Try again in %(minutes)s minutes.",
        minutes,
    )
    return ValidationError(text, params={"minutes": minutes}, code="too_many_attempts")


class LoginForm(_Bounded, AuthenticationForm):
    """The login page's."""


class AdminLoginForm(_Bounded, AdminAuthenticationForm):
    """The admin's."""


@never_cache
@require_GET
def once(request: HttpRequest, uidb64: str, token: str) -> HttpResponse:
    """Log the link's user in, the first time it is opened; afterwards the link leads to the login page."""
    user = login_links.redeem(uidb64, token, clock.now())
    if user is None:
        messages.error(request, _("This login link has been used already, or is too old."))
        return redirect(settings.LOGIN_URL)
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    return redirect(settings.LOGIN_REDIRECT_URL)
