"""Who is calling, and what they may: API keys and sessions, scopes and operators."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request

from ai_tasks import clock
from ai_tasks.access import keys, throttle
from ai_tasks.access.models import ApiKey
from ai_tasks.api.problems import Problem, Refused, refuse


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer tsk_...`"""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        """Return the key's owner and the key; None: no bearer credential was given."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = keys.authenticate(text.strip(), clock.now())
        if key is None:
            raise AuthenticationFailed("The API key is unknown, expired or revoked.")
        _count(request, f"key:{key.pk}", key.requests_per_minute)
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return "Bearer"


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session; unsafe methods need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the session's user; None: nobody is signed in."""
        if found := super().authenticate(request):
            _count(request, f"user:{found[0].pk}", None)
        return found

    def enforce_csrf(self, request: Request) -> None:
        """Refuse unsafe requests without a valid token."""
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            raise refuse("csrf_failed", str(error.detail)) from error


class HasScope(IsAuthenticated):
    """The caller is known and, if by a key, the key has the view's `scope`."""

    message = "The API key does not have the scope for this."

    def has_permission(self, request: Request, view: Any) -> bool:
        """May the caller use this view at all?"""
        if not super().has_permission(request, view):
            return False
        wanted = getattr(view, "scope", None)
        return wanted is None or wanted in scopes_of(request)


class IsOperator(BasePermission):
    """The caller is staff."""

    message = "Only operators may see this."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Is the user one of the staff?"""
        return bool(request.user.is_staff)


class MayChange(BasePermission):
    """Who changes something has the permission of what the view `does`."""

    message = "This operator may look, but not change this."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Is it only a look, or does the user have the permission?"""
        if request.method in SAFE_METHODS or view.does is None:
            return True
        return bool(request.user.has_perm(view.does.permission))


def _count(request: Request, caller: str, own_limit: int | None) -> None:
    """Refuse who calls too often; the answer's headers say where the caller stands (RateLimitMiddleware)."""
    limit = own_limit or settings.AI_REQUESTS_PER_MINUTE
    standing = throttle.count(caller, limit, clock.now()) if limit else None
    if standing is None:
        return
    request._request.rate_standing = standing  # type: ignore[attr-defined]
    if wait := standing.retry_after_seconds:
        detail = f"At most {limit} calls a minute; the next is possible in {wait} s."
        raise Refused(Problem("rate_limited", detail, headers={"Retry-After": str(wait)}))


def user_of(request: Request) -> User:
    """Return the caller, who is known: views without HasScope must not ask."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


def scopes_of(request: Request) -> tuple[str, ...]:
    """Return what the caller's credential is good for; a session is for everything."""
    return tuple(request.auth.scopes) if isinstance(request.auth, ApiKey) else keys.SCOPES


def key_of(request: Request) -> ApiKey | None:
    """Return the key by which the caller is known; None: a session."""
    return request.auth if isinstance(request.auth, ApiKey) else None


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How the API's description names the keys."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the OpenAPI security scheme."""
        return {"type": "http", "scheme": "bearer", "description": "An API key, made by `manage.py createapikey USER`."}


class BrowserSessionScheme(SessionScheme):
    """How the API's description names the session."""

    target_class = SessionAuthentication  # type: ignore[assignment]
    name = "session"
