"""Headers of every response. Written for both worlds: under ASGI they add no thread and do not make a stream wait."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ai_tasks.ids import uuid7

REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,100}")

POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)


def request_id_from(header: str | None) -> str:
    """Return the caller's request id if it is a decent one, else a new one."""
    return header if header and REQUEST_ID.fullmatch(header) else str(uuid7())


class _Middleware:
    """Calls `before` with the request and `after` with request and response."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        self.before(request)
        if self.is_async:
            return self._finish(request)
        return self.after(request, self.get_response(request))

    async def _finish(self, request: HttpRequest) -> HttpResponseBase:
        return self.after(request, await self.get_response(request))

    def before(self, request: HttpRequest) -> None:
        """Look at the request before anybody else."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return the response, changed."""
        raise NotImplementedError


class RequestIdMiddleware(_Middleware):
    """`X-Request-Id` in and out, as `request.request_id` in between."""

    def before(self, request: HttpRequest) -> None:
        """Take the caller's id, or make one."""
        request.request_id = request_id_from(request.headers.get("X-Request-Id"))  # type: ignore[attr-defined]

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Send the id back."""
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class RateLimitMiddleware(_Middleware):
    """Says what a caller with a limit has left: as many APIs do, and under /v1/ by OpenAI's names."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the headers where calls were counted."""
        standing = getattr(request, "rate_standing", None)
        if standing is None:
            return response
        name, seconds = ("X-RateLimit-{}-Requests", "s") if request.path.startswith("/v1/") else ("X-RateLimit-{}", "")
        response[name.format("Limit")] = str(standing.limit)
        response[name.format("Remaining")] = str(standing.remaining)
        response[name.format("Reset")] = f"{standing.reset_seconds}{seconds}"
        return response


class ContentSecurityPolicyMiddleware(_Middleware):
    """The strict policy of every page: nothing from elsewhere, nothing inline, no frames."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the policy where the view has none of its own."""
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
