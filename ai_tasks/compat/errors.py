"""Errors in OpenAI's shape: `{"error": {message, type, param, code}}`."""

import re
from collections.abc import Mapping
from typing import Any

from rest_framework.response import Response

from ai_tasks.api.problems import Problem, problem_of
from ai_tasks.errors import InvalidInput, Mistake

INVALID, QUOTA, LIMITED, SERVER = "invalid_request_error", "insufficient_quota", "rate_limit_error", "server_error"
Word = tuple[int, str, str]

PROBLEMS: dict[str, Word] = {
    "not_authenticated": (401, INVALID, "invalid_api_key"),
    "permission_denied": (403, INVALID, "permission_denied"),
    "not_found": (404, INVALID, "not_found"),
    "unknown_model": (404, INVALID, "model_not_found"),
    "context_window_exceeded": (400, INVALID, "context_length_exceeded"),
    "unpriced_model": (400, INVALID, "unpriced_model"),
    "budget_exceeded": (429, QUOTA, "insufficient_quota"),
    "queue_full": (429, LIMITED, "rate_limit_exceeded"),
    "rate_limited": (429, LIMITED, "rate_limit_exceeded"),
}
"""(status, type, code) of what is refused; anything else keeps its status and its code."""

FAILURES: dict[str, Word] = {
    "bad_request": (400, INVALID, "bad_request"),
    "context_window_exceeded": (400, INVALID, "context_length_exceeded"),
    "content_refused": (400, INVALID, "content_policy_violation"),
    "model_not_found": (404, INVALID, "model_not_found"),
    "max_cost_reached": (429, QUOTA, "insufficient_quota"),
    "rate_limited": (429, LIMITED, "rate_limit_exceeded"),
    "overloaded": (503, SERVER, "overloaded"),
    "deadline": (504, SERVER, "timeout"),
    "deadline_exceeded": (504, SERVER, "timeout"),
    "timeout": (504, SERVER, "timeout"),
}
"""The same of tasks that ended without an answer; anything else is a 502."""


def document(message: str, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    """Return an error's document."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn an exception of a view into its answer."""
    problem = problem_of(error)
    status, body = of_problem(problem)
    return Response(body, status, headers=dict(problem.headers))


def of_problem(problem: Problem) -> tuple[int, dict[str, Any]]:
    """Return status and document of a refusal; wrong bodies are 400s here."""
    own = problem.document("")["status"]
    status, kind, code = PROBLEMS.get(problem.code, (400 if own == 422 else own, "", problem.code))
    first = problem.errors[0] if problem.errors else None
    message = f"{problem.detail} {first.detail}".strip() if first else problem.detail
    kind = kind or (SERVER if status >= 500 else INVALID)
    return status, document(message, kind, code, param_of(first.pointer) if first else None)


def of_task(task: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return status and document of a task that ended without an answer."""
    if task["status"] == "cancelled":
        return 409, document("The request was cancelled.", INVALID, "cancelled")
    failed = task["error"] or {"code": "deadline", "message": "It was not answered in time."}
    known = "deadline" if task["status"] == "timed_out" else failed["code"]
    status, kind, code = FAILURES.get(known, (502, SERVER, failed["code"]))
    return status, document(failed["message"], kind, code)


def param_of(pointer: str) -> str | None:
    """Return a JSON pointer as OpenAI writes a place: `messages[0].content`."""
    places = [place for place in re.sub("^/input(?=/|$)", "", pointer).split("/") if place]
    text = "".join(f"[{place}]" if place.isdigit() else f".{place}" for place in places)
    return re.sub(r"^\.", "", text) or None


def unsupported(name: str, why: str = "This parameter is not supported.") -> InvalidInput:
    """Return the refusal of a parameter."""
    return InvalidInput(f"{name}: {why}", errors=(Mistake(f"/{name}", "unsupported"),))
