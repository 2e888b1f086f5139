"""Who opens a WebSocket: a Bearer key, a ticket, or the browser's session from our own pages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.utils.http import is_same_domain

from ai_tasks import clock, trail
from ai_tasks.access import keys, tickets
from ai_tasks.delivery import in_thread
from ai_tasks.trail import Trail, request_id_from


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened a socket, and what the credential is good for."""

    user: User
    scopes: tuple[str, ...]
    key_id: int | None = None
    """Of the API key, if it was one."""


class ForeignOrigin(Exception):
    """A page from elsewhere tries to use the browser's session."""


class SocketAccess:
    """
    ASGI middleware that puts `scope["caller"]` (a Caller or None) on WebSocket scopes.

    A Bearer header or `?ticket=` speaks for itself. A session cookie counts only with an Origin that is the request's
    own scheme, host and port or one of CSRF_TRUSTED_ORIGINS; another Origin ends the handshake with 403. Who is not
    authenticated is let in to be told so: JsonSocket closes with 4401.
    """

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Authenticate the handshake and pass it on; what is done for the socket has its request's id."""
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        request_id = request_id_from(headers.get(b"x-request-id"))
        trail.enter(Trail(request_id, traceparent=trail.decent(headers.get(b"traceparent"))))
        try:
            caller = await in_thread(_caller_of, scope)
        except (ForeignOrigin, DisallowedHost):
            await receive()
            await send({"type": "websocket.close"})
            return
        await self.application({**scope, "caller": caller}, receive, send)


def _caller_of(scope: dict[str, Any]) -> Caller | None:
    request = _handshake(scope)
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        key = keys.authenticate(text.strip(), clock.now())
        return Caller(key.owner, tuple(key.scopes), key.pk) if key else None
    if ticket := request.GET.get("ticket"):
        used = tickets.redeem(ticket, clock.now())
        return Caller(used.owner, tuple(used.scopes), used.api_key_id) if used else None
    return _caller_of_session(request)


def _handshake(scope: dict[str, Any]) -> ASGIRequest:
    """The handshake is a GET: Django's own request reads its host, scheme, cookies and query."""
    schemes = {"ws": "http", "wss": "https"}
    scheme = schemes.get(scope.get("scheme", "ws"), "http")
    return ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())


def _caller_of_session(request: ASGIRequest) -> Caller | None:
    origin = request.headers.get("Origin")
    if origin is not None and not _is_own(origin, request):
        raise ForeignOrigin(origin)
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if origin is None or not session_key:
        return None
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return Caller(user, keys.SCOPES) if isinstance(user, User) and user.is_active else None


def is_welcome(caller: Caller) -> bool:
    """Is who was let in still good?"""
    if caller.key_id is not None:
        return keys.is_valid(caller.key_id, clock.now())
    return User.objects.filter(pk=caller.user.pk, is_active=True).exists()


def _is_own(origin: str, request: ASGIRequest) -> bool:
    if origin == f"{'https' if request.is_secure() else 'http'}://{request.get_host()}":
        return True
    scheme, _, host = origin.partition("://")
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        trusted_scheme, _, trusted_host = trusted.partition("://")
        if scheme == trusted_scheme and is_same_domain(host, trusted_host.removeprefix("*")):
            return True
    return False
