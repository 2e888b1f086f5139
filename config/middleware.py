"""
Django's middleware for browsers, passed over by API requests that bring a credential of their own.

They have no session, no CSRF token, no language and no messages, and each of these steps costs a request two hops
between the event loop and a thread.
"""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.locale import LocaleMiddleware

API = ("/api/v1/", "/v1/")


class _ForBrowsers:
    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(API) and "Authorization" in request.headers:
            return self.get_response(request)
        return super().__call__(request)


class Sessions(_ForBrowsers, SessionMiddleware):
    """The session of a browser."""


class Locale(_ForBrowsers, LocaleMiddleware):
    """The language of a browser."""


class Csrf(_ForBrowsers, CsrfViewMiddleware):
    """The CSRF token of a browser."""


class Authentication(_ForBrowsers, AuthenticationMiddleware):
    """The user of a browser's session."""


class Messages(_ForBrowsers, MessageMiddleware):
    """What the next page tells the user."""
