"""Errors as RFC 9457 problem documents: one table of codes, one function for every exception."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks.errors import DATABASE_AWAY, Mistake, TaskError

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a code means."""

    status: int
    title: str
    retryable: bool = False
    """May the same request succeed later, unchanged?"""


KINDS: dict[str, Kind] = {
    "invalid_input": Kind(422, "Invalid input"),
    "unknown_task_type": Kind(422, "Unknown task type"),
    "unknown_model": Kind(422, "Unknown model"),
    "unpriced_model": Kind(422, "The model has no known price"),
    "context_window_exceeded": Kind(422, "Too long for the model"),
    "no_candidate": Kind(422, "No place of the route can take this"),
    "not_authenticated": Kind(401, "Not authenticated"),
    "budget_exceeded": Kind(402, "Budget exceeded"),
    "permission_denied": Kind(403, "Permission denied"),
    "csrf_failed": Kind(403, "CSRF check failed"),
    "not_found": Kind(404, "Not found"),
    "method_not_allowed": Kind(405, "Method not allowed"),
    "not_possible": Kind(409, "Not possible now"),
    "session_exists": Kind(409, "There is an active session about this item"),
    "session_closed": Kind(409, "The session takes no messages"),
    "idempotency_in_flight": Kind(409, "The first request with this key has not ended", retryable=True),
    "idempotency_mismatch": Kind(422, "Idempotency key used for another request"),
    "payload_too_large": Kind(413, "Payload too large"),
    "unsupported_media_type": Kind(415, "Unsupported media type"),
    "queue_full": Kind(429, "Queue full", retryable=True),
    "rate_limited": Kind(429, "Too many requests", retryable=True),
    "internal_error": Kind(500, "Internal error", retryable=True),
    "unavailable": Kind(503, "Temporarily unavailable", retryable=True),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One error as the client sees it."""

    code: str
    detail: str
    errors: tuple[Mistake, ...] = ()
    status: int | None = None
    """Only where it is not the code's own."""
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)
    """Further members of the document (RFC 9457, section 3.2)."""

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the problem document."""
        kind = KINDS[self.code]
        return {
            **self.members,
            "type": f"urn:tasuki:problem:{self.code}",
            "title": kind.title,
            "status": self.status or kind.status,
            "code": self.code,
            "detail": self.detail,
            "errors": [{"pointer": mistake.pointer, "detail": mistake.detail} for mistake in self.errors],
            "request_id": request_id,
            "retryable": kind.retryable,
        }


class Refused(Exception):
    """The request ends with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def refuse(code: str, detail: str, *mistakes: Mistake, status: int | None = None) -> Refused:
    """Return the exception that ends the request with this problem."""
    return Refused(Problem(code, detail, mistakes, status))


def malformed(detail: str) -> Refused:
    """Return the refusal of a body that is not JSON: 400, where 422 is for JSON of the wrong shape."""
    return refuse("invalid_input", detail, Mistake("", "malformed"), status=400)


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn an exception of a view into its problem document (REST framework's EXCEPTION_HANDLER)."""
    problem = problem_of(error)
    document = problem.document(request_id_of(context["request"]))
    _log(error, document)
    return Response(document, document["status"], headers=dict(problem.headers), content_type=CONTENT_TYPE)


def response(request: HttpRequest, problem: Problem) -> JsonResponse:
    """Return a problem document outside REST framework's views."""
    document = problem.document(request_id_of(request))
    return JsonResponse(document, status=document["status"], headers=dict(problem.headers), content_type=CONTENT_TYPE)


def _log(error: Exception, document: Mapping[str, Any]) -> None:
    if document["status"] >= 500:
        logger.error("%s in request %s", document["code"], document["request_id"], exc_info=error)


def request_id_of(request: Request | HttpRequest) -> str:
    """Return the request's id, as its middleware set it."""
    return str(getattr(request, "request_id", ""))


def problem_of(error: Exception) -> Problem:
    """Return the problem that an exception is to the client; what nobody expected says nothing about itself."""
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, TaskError):
        return _of_task_error(error)
    if isinstance(error, exceptions.APIException):
        return _of_api_exception(error)
    if isinstance(error, Http404):
        return Problem("not_found", "There is no such thing.")
    if isinstance(error, DjangoPermissionDenied):
        return Problem("permission_denied", "This is not for you.")
    if isinstance(error, SuspiciousOperation):
        return Problem("invalid_input", "The request cannot be understood.", status=400)
    if isinstance(error, DATABASE_AWAY):
        return Problem("unavailable", "The database cannot be reached.", headers={"Retry-After": "2"})
    return Problem("internal_error", "Something went wrong on our side.")


def _of_task_error(error: TaskError) -> Problem:
    wait = error.retry_after_seconds
    headers = {} if wait is None else {"Retry-After": str(wait)}
    if error.code not in KINDS:
        return Problem("not_possible", error.detail, error.errors, headers=headers)
    return Problem(error.code, error.detail, error.errors, headers=headers, members=error.members)


API_CODES: dict[type[exceptions.APIException], str] = {
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "not_authenticated",
    exceptions.PermissionDenied: "permission_denied",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "rate_limited",
    exceptions.ParseError: "invalid_input",
}


def _of_api_exception(error: exceptions.APIException) -> Problem:
    if isinstance(error, exceptions.ValidationError):
        return Problem("invalid_input", "The request does not fit its schema.", tuple(_mistakes(error.detail, "")))
    code = next((code for kind, code in API_CODES.items() if isinstance(error, kind)), None)
    if code is None:
        return Problem("internal_error", "Something went wrong on our side.")
    headers = {"WWW-Authenticate": "Bearer"} if code == "not_authenticated" else {}
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    status = 400 if code == "invalid_input" else None
    return Problem(code, str(error.detail), status=status, headers=headers)


def _mistakes(detail: Any, pointer: str) -> Iterator[Mistake]:
    """Flatten a serializer's nested errors into pointers."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            escaped = str(name).replace("~", "~0").replace("/", "~1")
            yield from _mistakes(inner, pointer if name == "non_field_errors" else f"{pointer}/{escaped}")
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            yield from _mistakes(inner, f"{pointer}/{place}" if isinstance(inner, Mapping) else pointer)
    else:
        yield Mistake(pointer, str(detail))
