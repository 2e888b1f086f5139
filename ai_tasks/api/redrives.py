"""Redrives, for operators."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ai_tasks.api import operator_documents as documents
from ai_tasks.api.dead_letters import Choice, DeadLetterView, groups_json, replayed
from ai_tasks.api.documents import problem_answers
from ai_tasks.api.fields import Flag, Number, Text
from ai_tasks.api.once import IDEMPOTENCY_KEY, create_once
from ai_tasks.api.operators import PAGING
from ai_tasks.api.problems import refuse
from ai_tasks.api.serializers import PRINTABLE
from ai_tasks.api.views import TASK_ID
from ai_tasks.errors import NotPossible
from ai_tasks.ops import audit, jobs, letters
from ai_tasks.oversight.actions import Action
from ai_tasks.pagination import page
from ai_tasks.redrives.preview import preview
from ai_tasks.representation import moment, usd
from queueing.models import Redrive

SLOWEST, FASTEST = 0.001, 1_000


class RedriveWish(Choice):
    """Which letters go where, and how fast."""

    provider = Text(
        max_length=161,
        required=False,
        default=Redrive.SAME,
        help_text="`same`, `fallback` (the next of the task's route), a provider of its route, or `provider/model`.",
    )
    rate = Number(min_value=SLOWEST, max_value=FASTEST, required=False, allow_null=True, help_text="Tasks a second.")
    reason = Text(max_length=200, validators=[PRINTABLE], required=False, default="")
    dry_run = Flag(required=False, default=False, help_text="Only count.")


class RedriveCollection(DeadLetterView):
    """`/redrives`"""

    @extend_schema(
        operation_id="listRedrives",
        summary="List redrives",
        parameters=PAGING,
        responses={200: documents.RedriveList, **problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return the redrives, newest first."""
        return Response(page(Redrive.objects.all(), request.query_params, lambda rows: [_shape(row) for row in rows]))

    @extend_schema(
        operation_id="createRedrive",
        summary="Send dead letters back",
        parameters=[IDEMPOTENCY_KEY],
        request=RedriveWish,
        responses={200: documents.PreviewDocument, 202: documents.RedriveDocument, **problem_answers(409, 422)},
    )
    def post(self, request: Request) -> Response:
        """Store the job; it begins within seconds. With `dry_run` nothing is stored, and 200 says what it would do."""
        wish = RedriveWish(data=request.data)
        wish.is_valid(raise_exception=True)
        given, chosen = wish.validated_data, wish.chosen()
        if given["dry_run"]:
            return Response(_preview(chosen, given["provider"]))

        def make() -> tuple[UUID, Redrive]:
            by = audit.by_request(request, given["reason"])
            job = letters.redrive(chosen, by, provider=given["provider"], rate=given.get("rate"))
            return job.pk, job

        job, is_replayed = create_once(
            request, call="POST /redrives", make=make, find=lambda pk: Redrive.objects.filter(pk=pk).first()
        )
        headers = {"Location": reverse("api:redrive", kwargs={"redrive_id": str(job.pk)})}
        return Response(_shape(job), 202, headers=headers | replayed(is_replayed))


class RedriveDetail(DeadLetterView):
    """`/redrives/{id}`"""

    @extend_schema(
        operation_id="getRedrive",
        summary="Get a redrive",
        responses={200: documents.RedriveDocument, **problem_answers(404)},
    )
    def get(self, request: Request, redrive_id: str) -> Response:
        """Return the job; `GET /dead-letters?redrive={id}&resolution=any` tells what became of each letter."""
        return Response(_shape(_find(redrive_id)))


class RedriveStop(DeadLetterView):
    """`/redrives/{id}/stop`"""

    does = Action.STOP_JOB

    @extend_schema(
        operation_id="stopRedrive",
        summary="Stop a redrive",
        request=None,
        responses={200: documents.RedriveDocument, **problem_answers(404)},
    )
    def post(self, request: Request, redrive_id: str) -> Response:
        """Send nothing more; what was sent goes on. One that has ended stays as it is."""
        job = _find(redrive_id)
        jobs.stop_job(job, audit.by_request(request))
        return Response(_shape(_find(redrive_id)))


class RedriveResume(DeadLetterView):
    """`/redrives/{id}/resume`"""

    does = Action.RESUME_JOB

    @extend_schema(
        operation_id="resumeRedrive",
        summary="Let a stopped redrive go on",
        request=None,
        responses={200: documents.RedriveDocument, **problem_answers(404, 409)},
    )
    def post(self, request: Request, redrive_id: str) -> Response:
        """Go on from where it was; a running one stays as it is."""
        job = _find(redrive_id)
        if job.state == Redrive.State.FINISHED:
            raise NotPossible("It is finished.")
        jobs.resume_job(job, audit.by_request(request))
        return Response(_shape(_find(redrive_id)))


def _find(redrive_id: str) -> Redrive:
    found = Redrive.objects.filter(pk=redrive_id).first() if TASK_ID.fullmatch(redrive_id) else None
    if found is None:
        raise refuse("not_found", "There is no such redrive.")
    return found


def _preview(chosen: dict[str, Any], provider: str) -> dict[str, Any]:
    found = preview(chosen, provider=provider)
    return {
        "object": "redrive_preview",
        "total": found.total,
        "eligible": found.eligible,
        "skipped": dict(found.skipped),
        "groups": groups_json(found.groups),
        "estimated_cost_usd": usd(found.cost_usd),
        "unpriced": found.unpriced,
    }


def _shape(job: Redrive) -> dict[str, Any]:
    times = ("created_at", "started_at", "finished_at", "stopped_at")
    return {
        "object": "redrive",
        "id": str(job.pk),
        "state": job.state,
        "filter": job.filters,
        "provider": job.provider,
        "rate": job.rate_per_second,
        **{name: getattr(job, name) for name in ("requested_by", "reason", "total", "done", "skipped", "failed")},
        **{name: moment(getattr(job, name)) for name in times},
        "stopped_by": job.stopped_by,
    }
