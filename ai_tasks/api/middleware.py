"""Headers of every response. Written for both worlds: under ASGI they add no thread and do not make a stream wait."""

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ai_tasks import trail
from ai_tasks.trail import Trail, request_id_from

logger = logging.getLogger(__name__)

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
    """`X-Request-Id` in and out, as `request.request_id` in between; what is done for the request has its ids."""

    def before(self, request: HttpRequest) -> None:
        """Take the caller's id, or make one, and the caller's trace, if there is one."""
        seen: Any = request
        seen.request_id = request_id_from(request.headers.get("X-Request-Id"))
        trail.enter(Trail(seen.request_id, traceparent=trail.decent(request.headers.get("traceparent"))))
        seen.began = monotonic()
        seen.span = trail.open_span(str(request.method), "server", {"http.request.method": str(request.method)})

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Send the id back, log the request, end its span."""
        seen: Any = request
        response["X-Request-Id"] = seen.request_id
        # The pattern, not the path: addresses have names, ids and login tokens in them.
        route = f"/{request.resolver_match.route}" if request.resolver_match else ""
        told = {"method": request.method, "route": route, "status": response.status_code}
        logger.info("A request was answered.", extra={**told, "duration_ms": round(1_000 * (monotonic() - seen.began))})
        seen.span.tell({"http.response.status_code": response.status_code} | ({"http.route": route} if route else {}))
        seen.span.rename(f"{request.method} {route}".strip())
        seen.span.end("" if response.status_code < 500 else str(response.status_code))
        if not self.is_async:
            trail.enter(Trail())  # the thread goes on to something else
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
