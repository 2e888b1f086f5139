"""Tasks over HTTP: each view checks, makes one domain call, and shows the task."""

import re
from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import clock, dispatch, submission
from ai_tasks.access import tickets
from ai_tasks.api import documents, filters
from ai_tasks.api.authentication import HasScope, key_of, scopes_of, user_of
from ai_tasks.api.once import IDEMPOTENCY_KEY, create_all_once, create_once
from ai_tasks.api.parsers import PicturesJSONParser
from ai_tasks.api.problems import refuse
from ai_tasks.api.serializers import TaskCreate, TasksCreate, request_of
from ai_tasks.errors import InvalidInput, Mistake
from ai_tasks.models import AIGenerationTask
from ai_tasks.pagination import page
from ai_tasks.representation import moment, new_task_json, task_json, tasks_json

MAX_WAIT_SECONDS = 60
MAX_SEQ = 2**31 - 1
TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

WAIT = OpenApiParameter(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS},
    description="Answer when the task has ended, or after so many seconds.",
)
AFTER = {"type": "integer", "minimum": 0, "maximum": MAX_SEQ}


class TaskView(APIView):
    """A view for whoever may use tasks."""

    permission_classes = (HasScope,)
    scope = "tasks"

    def task(self, request: Request, task_id: str) -> AIGenerationTask:
        """Return the caller's task; anybody else's is as missing as one that never was."""
        found = find_own(user_of(request).pk, task_id)
        if found is None:
            raise refuse("not_found", "There is no such task.")
        return found


def find_own(user_id: int, task_id: str) -> AIGenerationTask | None:
    """Return the user's task of that id, or None."""
    if not TASK_ID.fullmatch(task_id):
        return None
    task: AIGenerationTask | None = AIGenerationTask.objects.find_by_id(UUID(task_id))
    return task if task is not None and task.owner_id == user_id else None


class TaskCollection(TaskView):
    """`/tasks`; ai_tasks.api.streams waits where `?wait=` asks for it."""

    parser_classes = (PicturesJSONParser,)

    @extend_schema(
        operation_id="listTasks",
        summary="List tasks",
        parameters=filters.PARAMETERS,
        responses={200: documents.TaskList, **documents.problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return the caller's tasks, newest first."""
        tasks = filters.narrowed(AIGenerationTask.objects.find_by_user(user_of(request)), request.query_params)
        return Response(page(tasks, request.query_params, tasks_json))

    @extend_schema(
        operation_id="createTask",
        summary="Create a task",
        parameters=[IDEMPOTENCY_KEY, WAIT],
        request=TaskCreate,
        responses={202: documents.TaskDocument, **documents.problem_answers(402, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Accept a task: from here on it ends, whatever happens."""
        wait_seconds(request.query_params.get("wait", "0"))
        wish = TaskCreate(data=request.data)
        wish.is_valid(raise_exception=True)
        task, is_replayed = _create(request, request_of(wish.validated_data, key_of(request)))
        dispatch.go_first()
        headers = {"Location": reverse("api:task", kwargs={"task_id": str(task.pk)})}
        if is_replayed:
            headers["Idempotency-Replayed"] = "true"
        return Response(new_task_json(task), 202, headers=headers)


def wait_seconds(text: str) -> int:
    """Return how long the caller wants to wait; more than a minute is a minute."""
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise InvalidInput("wait must be a number of seconds.", errors=(Mistake("?wait", "not a whole number"),))
    return min(int(text), MAX_WAIT_SECONDS)


def _create(request: Request, wish: submission.TaskRequest) -> tuple[AIGenerationTask, bool]:
    """Submit the task, once per idempotency key; return it and whether it was there already."""
    owner = user_of(request)

    def make() -> tuple[UUID, AIGenerationTask]:
        task = submission.submit(owner, wish, is_public=True)
        return task.pk, task

    return create_once(request, call="POST /tasks", make=make, find=lambda task_id: find_own(owner.pk, str(task_id)))


class TaskBulk(TaskView):
    """`/tasks/bulk`"""

    @extend_schema(
        operation_id="createTasks",
        summary="Create up to 1,000 tasks, all or none",
        parameters=[IDEMPOTENCY_KEY],
        request=TasksCreate,
        responses={202: documents.TaskBatch, **documents.problem_answers(402, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """Accept the tasks, in the order in which they stand; where one cannot be, none is."""
        wish = TasksCreate(data=request.data)
        wish.is_valid(raise_exception=True)
        requests, owner = wish.to_requests(key_of(request)), user_of(request)

        def make() -> tuple[list[UUID], list[AIGenerationTask]]:
            made = submission.submit_all(owner, requests, pointer="/tasks", is_public=True)
            return [task.pk for task in made], made

        def find(task_ids: list[UUID]) -> list[AIGenerationTask] | None:
            found = AIGenerationTask.objects.find_by_user(owner).in_bulk(task_ids)
            return [found[task_id] for task_id in task_ids if task_id in found] or None

        tasks, is_replayed = create_all_once(request, call="POST /tasks/bulk", make=make, find=find)
        headers = {"Idempotency-Replayed": "true"} if is_replayed else {}
        data = tasks_json(tasks, known=[task.entry for task in tasks if task.entry])
        return Response({"object": "list", "data": data}, 202, headers=headers)


class TaskDetail(TaskView):
    """`/tasks/{id}`"""

    @extend_schema(
        operation_id="getTask",
        summary="Get a task",
        responses={200: documents.TaskDocument, **documents.problem_answers(404)},
    )
    def get(self, request: Request, task_id: str) -> Response:
        """Return the task."""
        return Response(task_json(self.task(request, task_id)))


class TaskCancel(TaskView):
    """`/tasks/{id}/cancel`"""

    @extend_schema(
        operation_id="cancelTask",
        summary="Cancel a task",
        request=None,
        responses={200: documents.TaskDocument, **documents.problem_answers(404)},
    )
    def post(self, request: Request, task_id: str) -> Response:
        """Cancel the task; one that ended stays as it is, one that runs is asked to stop."""
        return Response(task_json(submission.cancel(self.task(request, task_id))))


class TaskRetry(TaskView):
    """`/tasks/{id}/retry`"""

    @extend_schema(
        operation_id="retryTask",
        summary="Try a failed task again",
        request=None,
        responses={200: documents.TaskDocument, **documents.problem_answers(404, 409, 429)},
    )
    def post(self, request: Request, task_id: str) -> Response:
        """Make a failed or timed-out task pending again; a live one stays as it is."""
        return Response(task_json(submission.retry(self.task(request, task_id))))


class TaskEvents(TaskView):
    """`/tasks/{id}/events`: what ai_tasks.api.streams asks before it begins to stream."""

    @extend_schema(
        operation_id="followTask",
        summary="Follow a task as server-sent events",
        parameters=[
            OpenApiParameter("after", AFTER, description="Resume after this seq."),
            OpenApiParameter("Last-Event-ID", AFTER, OpenApiParameter.HEADER, description="The same; it goes first."),
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR),
            **documents.problem_answers(404, 422),
        },
    )
    def get(self, request: Request, task_id: str) -> Response:
        """Return where the stream begins: events `task.updated`, `task.delta` and `task.reset` to the terminal one."""
        task = self.task(request, task_id)
        return Response({"task_id": task.pk, "after": _after(request)})


def _after(request: Request) -> int:
    header = request.headers.get("Last-Event-ID")
    text = request.query_params.get("after", "0") if header is None else header
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_SEQ):
        place = "?after" if header is None else "Last-Event-ID"
        raise InvalidInput("That is no seq.", errors=(Mistake(place, "not a whole number"),))
    return int(text)


class TicketCollection(APIView):
    """`/ws-tickets`"""

    permission_classes = (HasScope,)

    @extend_schema(
        operation_id="createWebSocketTicket",
        summary="Get a ticket for one WebSocket",
        request=None,
        responses={201: documents.TicketDocument, **documents.problem_answers()},
    )
    def post(self, request: Request) -> Response:
        """Return a ticket with the caller's scopes, good once within 30 seconds, for `?ticket=`."""
        now = clock.now()
        ticket = tickets.issue(user_of(request), now, scopes=scopes_of(request), key=key_of(request))
        body = {"object": "ws_ticket", "ticket": ticket, "expires_at": moment(now + tickets.LIFETIME)}
        return Response(body, 201, headers={"Cache-Control": "no-store"})
