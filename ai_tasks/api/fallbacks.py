"""What is answered where no view answers: problem documents under /api/, Django's pages elsewhere."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from ai_tasks.api.problems import Problem, response

PREFIX = "/api/"


@csrf_exempt
def not_found(request: HttpRequest, *_: Any, **__: Any) -> HttpResponseBase:
    """Answer an address that does not exist."""
    return response(request, Problem("not_found", "There is nothing at this address."))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer what Django finds suspicious (handler400)."""
    if request.path.startswith(PREFIX):
        return response(request, Problem("invalid_input", "The request cannot be understood.", status=400))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer what is forbidden (handler403)."""
    if request.path.startswith(PREFIX):
        return response(request, Problem("permission_denied", "This is not for you."))
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer what does not exist (handler404)."""
    return not_found(request) if request.path.startswith(PREFIX) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer what went wrong outside REST framework's views (handler500)."""
    if request.path.startswith(PREFIX):
        return response(request, Problem("internal_error", "Something went wrong on our side."))
    return defaults.server_error(request)
