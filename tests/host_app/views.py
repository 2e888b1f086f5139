"""The host's own page: ask for a summary, look at it."""

import json

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from ai_tasks import submission
from ai_tasks.errors import TaskError
from tests.host_app.models import Summary


@require_POST
@login_required
def create(request: HttpRequest) -> JsonResponse:
    """Store the text and submit its task: both, or neither."""
    wish = submission.TaskRequest(type="host.summary", input=json.loads(request.body))
    try:
        with transaction.atomic():
            task = submission.submit(request.user, wish)
            summary = Summary.objects.create(owner=request.user, text=task.input["text"], task_id=task.pk)
    except TaskError as error:
        return JsonResponse({"code": error.code, "detail": error.detail}, status=422)
    return JsonResponse({"id": summary.pk, "state": summary.state}, status=201)


@require_GET
@login_required
def show(request: HttpRequest, summary_id: int) -> JsonResponse:
    """Tell how far it is."""
    summary = get_object_or_404(Summary, pk=summary_id, owner=request.user)
    return JsonResponse({"id": summary.pk, "state": summary.state, "summary": summary.summary})
