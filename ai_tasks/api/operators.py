"""What operators see of providers, and what all their views have in common."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import capacity, clock
from ai_tasks.api import operator_documents as documents
from ai_tasks.api.authentication import HasScope, IsOperator, MayChange
from ai_tasks.api.documents import problem_answers
from ai_tasks.api.fields import StrictSerializer, Text
from ai_tasks.api.problems import refuse
from ai_tasks.api.serializers import PRINTABLE
from ai_tasks.models import WorkerProcess
from ai_tasks.ops import audit, circuits
from ai_tasks.oversight.actions import Action
from ai_tasks.pagination import whole
from ai_tasks.representation import moment
from providers import routing
from queueing.models import TaskQueue

PAGING = [
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    OpenApiParameter("cursor", str, description="The `next` of the page before."),
]


class OperatorView(APIView):
    """A view for the staff; who changes something needs the permission of what it `does` too."""

    permission_classes = (HasScope, IsOperator, MayChange)
    scope = "operations"
    does: ClassVar[Action | None] = None
    """None: it changes nothing."""


class ProviderCollection(OperatorView):
    """`/providers`"""

    @extend_schema(
        operation_id="listProviders",
        summary="List providers with their state, limits and headroom",
        responses={200: documents.ProviderList, **problem_answers()},
    )
    def get(self, request: Request) -> Response:
        """Return every configured provider."""
        now = clock.now()
        workers = WorkerProcess.objects.consumers(now)
        return Response(whole([_provider(slug, workers, now) for slug in routing.slugs()]))


class Reason(Text):
    """Why, for the audit."""

    def __init__(self) -> None:
        super().__init__(max_length=audit.REASON_LENGTH, validators=[PRINTABLE], required=False, default="")


class CircuitWish(StrictSerializer):
    """What becomes of a circuit."""

    mode = serializers.ChoiceField(
        choices=circuits.MODES,
        help_text="Forced open or closed until `auto`; `closed`: automatic, and closed now.",
    )
    model = Text(
        max_length=120,
        validators=[PRINTABLE],
        required=False,
        default="",
        help_text="One model's; else the provider's.",
    )
    reason = Reason()


class ProviderCircuit(OperatorView):
    """`/providers/{provider}/circuit`"""

    does = Action.FORCE_CIRCUIT

    @extend_schema(
        operation_id="setCircuit",
        summary="Force a circuit open or closed, close it, or give it back to itself",
        request=CircuitWish,
        responses={200: documents.ProviderDocument, **problem_answers(404, 422)},
    )
    def post(self, request: Request, provider: str) -> Response:
        """Set it; one that is so already stays as it is."""
        wish = CircuitWish(data=request.data)
        wish.is_valid(raise_exception=True)
        given, now = wish.validated_data, clock.now()
        by = audit.by_request(request, given["reason"], now)
        circuits.force_circuit(known(provider), given["mode"], by, model=given["model"])
        return Response(_provider(provider, WorkerProcess.objects.consumers(now), now))


def known(provider: str) -> str:
    """Return the name of a configured provider, or refuse with 404."""
    if provider not in routing.slugs():
        raise refuse("not_found", "There is no such provider.")
    return provider


def _provider(slug: str, workers: list[tuple[list[str], int]], now: datetime) -> dict[str, Any]:
    lanes = TaskQueue.objects.filter(provider=slug)
    room, gate = capacity.measure(slug, workers, lanes, now), routing.gate(slug, now)
    is_paused = any(lane.is_paused(now) for lane in lanes)
    circuit = routing.circuit(slug)
    return {
        "object": "provider",
        "id": slug,
        "state": "paused" if is_paused else gate.reason or "available",
        "until": moment(room.opens_at() if is_paused else gate.until),
        "circuit": _circuit(circuit) | {"models": {name: _circuit(row) for name, row in circuit["models"].items()}},
        "limits": [_limit(model, bounds, room.use.get(model, capacity.Use())) for model, bounds in room.limits.items()],
    }


def _circuit(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: moment(row[name]) for name in ("forced_until", "opened_at", "open_until")}


def _limit(model: str, bounds: Any, use: capacity.Use) -> dict[str, Any]:
    used = {"slots": use.slots, "requests": use.requests, "tokens": use.tokens}
    limits = asdict(bounds)
    left = {
        name: None if bound is None else max(bound - used[name], 0)
        for name, bound in zip(used, limits.values(), strict=True)
    }
    return {"model": model, **limits, "used": used, "headroom": left}
