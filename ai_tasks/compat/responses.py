"""/v1/responses: each view checks a request and makes one domain call; response_streams has what waits."""

from functools import partial
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks import submission
from ai_tasks.api.authentication import user_of
from ai_tasks.api.parsers import PicturesJSONParser
from ai_tasks.api.problems import refuse
from ai_tasks.api.views import find_own
from ai_tasks.compat import chat_requests, response_answers, response_requests
from ai_tasks.compat.views import CompatView, create, head
from ai_tasks.errors import InvalidInput, Mistake
from ai_tasks.models import AIGenerationTask, ResponseRecord
from ai_tasks.representation import new_task_json, task_json

Json = dict[str, Any]
MOST_ITEMS = 100


class Responses(CompatView):
    """`/v1/responses`: makes the task."""

    parser_classes = (PicturesJSONParser,)

    def post(self, request: Request) -> Response:
        """Return the task's id and how it is to be answered."""
        asked = response_requests.checked(request.data)
        wish = wish_of(user_of(request).pk, asked)
        task = create(request, wish, "POST /v1/responses", beside=partial(note, asked))
        made: Json = {"task": head(task), "asked": asked, "after": -1, "response": None}
        if asked.get("background"):
            made["response"] = response_answers.response(new_task_json(task), asked)
        return Response(made, 202)


def wish_of(owner_id: int, asked: Json) -> Json:
    """Return the task that a checked body of this owner's asks for, as the body of POST /api/v1/tasks."""
    wish = chat_requests.wish_of(chat_requests.checked(response_requests.chat_of(asked)))
    if "previous_response_id" in asked:
        _go_on(wish["input"], *_before(owner_id, asked["previous_response_id"]))
    return wish


def note(asked: Json, task: AIGenerationTask) -> None:
    """Keep what was asked for beside its task, unless it is not to be stored."""
    if asked.get("store", True):
        ResponseRecord.objects.create(task=task, asked=asked)


class OneResponse(CompatView):
    """`/v1/responses/{id}`"""

    def get(self, request: Request, response_id: str) -> Response:
        """Return the response as far as it is, or, as 202, how it is to be streamed."""
        record = find_response(request, response_id)
        if request.query_params.get("stream", "false").lower() != "true":
            return Response(response_answers.response(task_json(record.task), record.asked))
        return Response({"task": head(record.task), "asked": record.asked, "after": _number(request)}, 202)

    def delete(self, request: Request, response_id: str) -> Response:
        """Delete it; what still runs is cancelled first, and its cost stays in the ledger."""
        record = find_response(request, response_id)
        AIGenerationTask.objects.delete(record.task)
        return Response({"id": response_id, "object": "response", "deleted": True})


class CancelResponse(CompatView):
    """`/v1/responses/{id}/cancel`"""

    def post(self, request: Request, response_id: str) -> Response:
        """Stop the task and return how it is to be answered; one that has ended stays as it is."""
        record = find_response(request, response_id)
        task = submission.cancel(record.task)
        return Response({"task": head(task), "asked": record.asked}, 202)


class InputItems(CompatView):
    """`/v1/responses/{id}/input_items`"""

    def get(self, request: Request, response_id: str) -> Response:
        """Return what the response was asked with, newest first unless `order=asc`."""
        asked = find_response(request, response_id).asked
        found = [_listed(place, item) for place, item in enumerate(response_requests.items(asked))]
        if request.query_params.get("order", "desc") != "asc":
            found.reverse()
        ids = [item["id"] for item in found]
        after, limit = request.query_params.get("after"), _number(request, "limit", 20)
        first = ids.index(after) + 1 if after in ids else 0
        page = found[first : first + min(max(limit, 1), MOST_ITEMS)]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        return Response({"object": "list", "data": page, "has_more": first + len(page) < len(found), **ends})


def _listed(place: int, item: Json) -> Json:
    """Return an item with an id; a text becomes the part that it stands for."""
    told: Json = {"id": f"item_{place}", "type": "message"} | item
    if isinstance(text := item.get("content"), str):
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        told["content"] = [{"type": kind, "text": text}]
    return told


def find_response(request: Request, response_id: str) -> ResponseRecord:
    """Return the caller's response; raises Refused with 404."""
    task = find_own(user_of(request).pk, response_id.removeprefix("resp_"))
    record = ResponseRecord.objects.filter(task=task).first() if task else None
    if task is None or record is None or not response_id.startswith("resp_"):
        raise refuse("not_found", f"There is no response {response_id[:80]!r}.")
    record.task = task
    return record


def _number(request: Request, name: str = "starting_after", default: int = -1) -> int:
    given = request.query_params.get(name, str(default))
    if not given.removeprefix("-").isascii() or not given.removeprefix("-").isdigit() or len(given) > 10:
        raise InvalidInput("The request is not valid.", errors=(Mistake(f"/{name}", "not a whole number"),))
    return int(given)


def _before(owner_id: int, response_id: str) -> tuple[AIGenerationTask, Json]:
    """Return the completed response that is gone on from, and what it was asked for."""
    task = find_own(owner_id, response_id.removeprefix("resp_"))
    record = ResponseRecord.objects.filter(task=task).first() if task else None
    if task is None or record is None:
        raise refuse("not_found", f"There is no response {response_id[:80]!r} to go on from.")
    if task.output is None or "messages" not in task.input:
        mistake = Mistake("/previous_response_id", "it has not completed, or its text is gone")
        raise InvalidInput("This response cannot be gone on from.", errors=(mistake,))
    return task, record.asked


def _go_on(wanted: Json, task: AIGenerationTask, asked: Json) -> None:
    """Put what was said before in front of the new turns; instructions do not carry over."""
    said = task.input["messages"][1 if asked.get("instructions") else 0 :]
    turns = wanted["messages"]
    first = 1 if turns[0]["role"] == "system" else 0
    wanted["messages"] = [*turns[:first], *said, response_answers.turn(task.output or {}), *turns[first:]]
