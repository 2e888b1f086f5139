"""/v1: each view checks a request and makes one domain call; what waits is in ai_tasks.compat.streams."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import dispatch, submission
from ai_tasks.api.authentication import HasScope, key_of, user_of
from ai_tasks.api.once import create_once
from ai_tasks.api.parsers import PicturesJSONParser
from ai_tasks.api.problems import refuse
from ai_tasks.api.serializers import TaskCreate, request_of
from ai_tasks.api.views import find_own
from ai_tasks.compat import chat_requests, embeddings, errors
from ai_tasks.models import AIGenerationTask
from ai_tasks.models_on_offer import models_on_offer
from ai_tasks.representation import moment


@extend_schema(exclude=True)
class CompatView(APIView):
    """A view whose errors are OpenAI's."""

    permission_classes: Any = (HasScope,)
    scope = "tasks"

    def get_exception_handler(self) -> Any:
        """Return what turns exceptions into answers."""
        return errors.handle


class ChatCompletions(CompatView):
    """`/v1/chat/completions`: makes the task."""

    parser_classes = (PicturesJSONParser,)

    def post(self, request: Request) -> Response:
        """Return the task's id and how it is to be answered."""
        asked = chat_requests.checked(request.data)
        task = create(request, chat_requests.wish_of(asked), "POST /v1/chat/completions")
        usage = bool(asked.get("stream_options", {}).get("include_usage"))
        made = {"task_id": task.pk, "stream": asked.get("stream", False), "include_usage": usage, "task": head(task)}
        return Response(made, 202)


def head(task: AIGenerationTask) -> dict[str, Any]:
    """Return what answers say of a task before its end, in the words of its own shape."""
    told = {"id": str(task.pk), "created_at": moment(task.created_at)}
    return told | {"provider": task.provider, "model": task.model}


class Embeddings(CompatView):
    """`/v1/embeddings`: makes the task."""

    def post(self, request: Request) -> Response:
        """Return the task's id and how it is to be answered."""
        asked = embeddings.checked(request.data)
        task = create(request, embeddings.wish_of(asked), "POST /v1/embeddings")
        return Response({"task_id": task.pk, "encoding_format": asked.get("encoding_format", "float")}, 202)


def create(
    request: Request,
    asked: dict[str, Any],
    call: str,
    *,
    beside: Callable[[AIGenerationTask], object] = lambda task: None,
) -> AIGenerationTask:
    """
    Submit the task of this body of POST /api/v1/tasks, once per Idempotency-Key, and let it start.

    What is written `beside` it is written in its transaction.
    """
    body = TaskCreate(data=asked)
    body.is_valid(raise_exception=True)
    owner, wish = user_of(request), request_of(body.validated_data, key_of(request))

    @transaction.atomic
    def make() -> tuple[UUID, AIGenerationTask]:
        task = submission.submit(owner, wish, is_public=True)
        beside(task)
        return task.pk, task

    task, _ = create_once(request, call=call, make=make, find=lambda task_id: find_own(owner.pk, str(task_id)))
    dispatch.go_first()
    return task


class Models(CompatView):
    """`/v1/models`"""

    def get(self, request: Request) -> Response:
        """Return the routes' aliases and the models that are known and priced."""
        return Response({"object": "list", "data": [_model(name) for name, _ in models_on_offer()]})


class Model(CompatView):
    """`/v1/models/{model}`"""

    def get(self, request: Request, model: str) -> Response:
        """Return one of them."""
        if model not in dict(models_on_offer()):
            raise refuse("unknown_model", f"There is no model {model[:160]!r} on offer.")
        return Response(_model(model))


def _model(name: str) -> dict[str, Any]:
    provider, slash, _ = name.partition("/")
    return {"id": name, "object": "model", "created": 0, "owned_by": provider if slash else "route"}


class NotFound(CompatView):
    """Whatever else is asked for under /v1/."""

    permission_classes = ()
    authentication_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse every method alike."""
        raise refuse("not_found", f"There is nothing at {request.method} {request.path[:200]}.")
