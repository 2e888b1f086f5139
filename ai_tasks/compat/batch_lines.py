"""One line of a batch: checked, as a task, and as a line of the files that the batch writes."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from ai_tasks.api.parsers import Malformed, load
from ai_tasks.api.problems import problem_of
from ai_tasks.api.serializers import TaskCreate, request_of
from ai_tasks.batches.models import Batch, BatchLine
from ai_tasks.compat import (
    chat_answers,
    chat_requests,
    embeddings,
    errors,
    response_answers,
    response_requests,
    responses,
)
from ai_tasks.compat.errors import unsupported
from ai_tasks.errors import InvalidInput
from ai_tasks.models import AIGenerationTask
from ai_tasks.representation import moment
from ai_tasks.states import REVIVABLE, TaskStatus
from ai_tasks.submission import TaskRequest
from queueing.states import Priority

logger = logging.getLogger(__name__)

Json = dict[str, Any]
LONGEST_CUSTOM_ID = 512
BOM = b"\xef\xbb\xbf"
Note = Callable[[AIGenerationTask], None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one of the endpoints makes of a body, and of the task that comes of it."""

    checked: Callable[[Any], Json]
    wish_of: Callable[[int, Json], Json]
    """The body of POST /api/v1/tasks for an owner's checked body."""
    answer: Callable[[Json, Json], Json]
    """The shape of a completed task that was asked for by this body."""
    note: Callable[[Json, AIGenerationTask], None] = lambda asked, task: None
    """What is written beside the task."""


ENDPOINTS = {
    "/v1/chat/completions": Endpoint(
        chat_requests.checked,
        lambda owner_id, asked: chat_requests.wish_of(asked),
        lambda task, asked: chat_answers.completion(task),
    ),
    "/v1/embeddings": Endpoint(
        embeddings.checked,
        lambda owner_id, asked: embeddings.wish_of(asked),
        lambda task, asked: embeddings.answer(task, asked.get("encoding_format", "float")),
    ),
    "/v1/responses": Endpoint(response_requests.checked, responses.wish_of, response_answers.response, responses.note),
}


class Wrong(Exception):
    """A line is none of a batch's; the batch fails with it."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param

    def document(self, number: int | None) -> Json:
        """Return it as one of `errors.data`."""
        return {"code": self.code, "line": number, "message": str(self), "param": self.param}


class Head(NamedTuple):
    """What a batch must know of a line before any of them begins."""

    custom_id: str
    model: str


def head_of(data: bytes, endpoint: str) -> Head:
    """Return what a line says of itself; raises Wrong. Its body is for `wish_of` to judge."""
    asked = _parsed(data)
    custom_id, body = asked.get("custom_id"), asked.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        raise Wrong("missing_required_parameter", "custom_id must be a text that is not empty.", "custom_id")
    if len(custom_id) > LONGEST_CUSTOM_ID:
        raise Wrong("invalid_custom_id", f"custom_id is longer than {LONGEST_CUSTOM_ID} characters.", "custom_id")
    if asked.get("method") != "POST":
        raise Wrong("invalid_method", "method must be POST.", "method")
    if asked.get("url") != endpoint:
        raise Wrong("mismatched_endpoint", f"url must be the batch's endpoint, {endpoint}.", "url")
    if not isinstance(body, dict):
        raise Wrong("missing_required_parameter", "body must be a JSON object.", "body")
    model = body.get("model")
    return Head(custom_id, model[:160] if isinstance(model, str) else "")


def _parsed(data: bytes) -> Json:
    try:
        asked = load(data)
    except Malformed as error:
        raise Wrong("invalid_json_line", f"This line is not JSON. {error}") from error
    except InvalidInput as error:
        what = error.errors[0]
        raise Wrong("invalid_json_line", f"{error.detail} {what.detail}", errors.param_of(what.pointer)) from error
    if not isinstance(asked, dict):
        raise Wrong("invalid_json_line", "This line is not a JSON object.")
    return asked


def body_of(data: bytes) -> Json:
    """Return the body in a line that was found good."""
    body: Json = load(data)["body"]
    return body


def wish_of(batch: Batch, body: Json, seconds: int) -> tuple[TaskRequest, Note]:
    """
    Return the task that a body asks for, which then has so many seconds, and what to write beside it.

    It is of the lowest priority, whatever the body says. Raises what a call of the endpoint would be refused with.
    """
    endpoint = ENDPOINTS[batch.endpoint]
    asked = endpoint.checked(body)
    if asked.get("stream"):
        raise unsupported("stream", "An answer in a file does not stream.")
    wish = TaskCreate(data=endpoint.wish_of(batch.owner_id, asked))
    wish.is_valid(raise_exception=True)
    request = request_of({**wish.validated_data, "priority": Priority.BULK}, batch.api_key)
    seconds = min(seconds, request.deadline_seconds or seconds)
    return replace(request, deadline_seconds=seconds), partial(endpoint.note, asked)


def refusal_of(error: Exception) -> list[Any]:
    """Return status and body of what a call of the endpoint would be refused with; what nobody expected is logged."""
    status, body = errors.of_problem(problem_of(error))
    if status >= 500:
        logger.error("A request of a batch could not be begun.", exc_info=error)
    return [status, body]


def told(task: AIGenerationTask) -> Json:
    """Return what answers say of an ended task."""
    names = ("status", "provider", "model", "output", "error", "usage")
    return {"id": str(task.pk), "created_at": moment(task.created_at)} | {name: getattr(task, name) for name in names}


def answered(endpoint: str, line: BatchLine, task: AIGenerationTask, body: Json) -> Json:
    """Return the line of the output file for a completed task."""
    its = ENDPOINTS[endpoint]
    return _line(line, (200, its.answer(told(task), its.checked(body))))


def failed(line: BatchLine, cut: tuple[str, str] | None) -> Json:
    """
    Return the line of the error file: how its call was refused, how its task ended, or why the batch did not wait.

    `cut` is code and message of a batch that ended early.
    """
    if line.refusal is not None:
        return _line(line, (line.refusal[0], line.refusal[1]))
    task = line.task
    if task is None or (cut and task.status not in REVIVABLE):
        return _line(line, None, cut)
    if task.status == TaskStatus.TIMED_OUT:
        return _line(line, None, ("request_timeout", "It was not answered in time."))
    return _line(line, errors.of_task(told(task)))


def _line(line: BatchLine, response: tuple[int, Json] | None, error: tuple[str, str] | None = None) -> Json:
    request_id = str(line.task_id or "")
    return {
        "id": f"batch_req_{line.batch_id.hex}_{line.number}",
        "custom_id": line.custom_id,
        "response": response and {"status_code": response[0], "request_id": request_id, "body": response[1]},
        "error": error and {"code": error[0], "message": error[1]},
    }


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return a line of a file."""
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"
