"""The one-time login link."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from ai_tasks import clock
from ai_tasks.access import login_links


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
