"""What operators see of providers and queues."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import clock
from ai_tasks.api import documents
from ai_tasks.api.authentication import HasScope, IsOperator
from ai_tasks.api.pagination import whole
from ai_tasks.representation import moment
from providers import routing
from queueing.models import TaskQueue


class OperatorView(APIView):
    """A view for the staff."""

    permission_classes = (HasScope, IsOperator)
    scope = "operations"


class ProviderCollection(OperatorView):
    """`/providers`"""

    @extend_schema(
        operation_id="listProviders",
        summary="List providers with their state and limits",
        responses={200: documents.ProviderList, **documents.problem_answers()},
    )
    def get(self, request: Request) -> Response:
        """Return every configured provider."""
        now = clock.now()
        return Response(whole([_provider(slug, now) for slug in routing.slugs()]))


class QueueCollection(OperatorView):
    """`/queues`"""

    @extend_schema(
        operation_id="listQueues",
        summary="List queues with their counts",
        responses={200: documents.QueueList, **documents.problem_answers()},
    )
    def get(self, request: Request) -> Response:
        """Return every configured provider's queue, its lanes together."""
        now = clock.now()
        paused = {queue.provider for queue in TaskQueue.objects.all() if queue.is_paused(now)}
        return Response(whole([_queue(slug, slug in paused, now) for slug in routing.slugs()]))


def _provider(slug: str, now: datetime) -> dict[str, Any]:
    gate = routing.gate(slug, now)
    limits = [{"model": model, **asdict(bounds)} for model, bounds in routing.limits(slug).items()]
    state = gate.reason or "available"
    return {"object": "provider", "id": slug, "state": state, "until": moment(gate.until), "limits": limits}


def _queue(slug: str, is_paused: bool, now: datetime) -> dict[str, Any]:
    counts = TaskQueue.objects.get_queue_stats(slug, now=now)
    return {"object": "queue", "provider": slug, "is_paused": is_paused, **counts}
