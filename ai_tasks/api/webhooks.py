"""Webhook endpoints and deliveries over HTTP: each user's own."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import clock, courier, endpoints
from ai_tasks.api import webhook_documents as documents
from ai_tasks.api.authentication import HasScope, user_of
from ai_tasks.api.documents import problem_answers
from ai_tasks.api.filters import PAGING, wrong
from ai_tasks.api.once import IDEMPOTENCY_KEY, create_once
from ai_tasks.api.operators import PAGING as PAGING_PARAMETERS
from ai_tasks.api.problems import refuse
from ai_tasks.api.views import TASK_ID
from ai_tasks.errors import NotPossible
from ai_tasks.models import WebhookDelivery, WebhookEndpoint
from ai_tasks.pagination import page
from ai_tasks.representation import moment
from ai_tasks.webhooks import events, signing

NO_STORE = {"Cache-Control": "no-store"}


class WebhookView(APIView):
    """A view for whoever may use tasks."""

    permission_classes = (HasScope,)
    scope = "tasks"

    def endpoints(self, request: Request) -> QuerySet[WebhookEndpoint]:
        """Return the caller's endpoints."""
        return WebhookEndpoint.objects.filter(owner=user_of(request)).prefetch_related("subscriptions")

    def endpoint(self, request: Request, endpoint_id: str) -> WebhookEndpoint:
        """Return the caller's endpoint; anybody else's is as missing as one that never was."""
        found = self.endpoints(request).filter(pk=endpoint_id).first() if TASK_ID.fullmatch(endpoint_id) else None
        if found is None:
            raise refuse("not_found", "There is no such webhook endpoint.")
        return found

    def deliveries(self, request: Request) -> QuerySet[WebhookDelivery]:
        """Return the deliveries of the caller's endpoints."""
        return WebhookDelivery.objects.filter(endpoint__owner=user_of(request)).select_related("endpoint")

    def delivery(self, request: Request, delivery_id: str) -> WebhookDelivery:
        """Return the caller's delivery, likewise."""
        found = self.deliveries(request).filter(pk=delivery_id).first() if TASK_ID.fullmatch(delivery_id) else None
        if found is None:
            raise refuse("not_found", "There is no such webhook delivery.")
        return found


class EndpointCollection(WebhookView):
    """`/webhook-endpoints`"""

    @extend_schema(
        operation_id="listWebhookEndpoints",
        summary="List webhook endpoints",
        parameters=PAGING_PARAMETERS,
        responses={200: documents.EndpointList, **problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return the caller's endpoints, newest first."""
        _refuse_unknown(request.query_params, ())
        return Response(page(self.endpoints(request), request.query_params, lambda rows: list(map(_endpoint, rows))))

    @extend_schema(
        operation_id="createWebhookEndpoint",
        summary="Create a webhook endpoint",
        parameters=[IDEMPOTENCY_KEY],
        request=documents.EndpointCreate,
        responses={201: documents.EndpointWithSecret, **problem_answers(409, 422)},
    )
    def post(self, request: Request) -> Response:
        """Make an endpoint; its secret is shown here, and again only when it is rotated."""
        wish = documents.EndpointCreate(data=request.data)
        wish.is_valid(raise_exception=True)

        def make() -> tuple[UUID, WebhookEndpoint]:
            made = endpoints.create(user_of(request), clock.now(), **wish.validated_data)
            return made.pk, made

        made, is_replayed = create_once(
            request,
            call="POST /webhook-endpoints",
            make=make,
            find=lambda pk: self.endpoints(request).filter(pk=pk).first(),
        )
        headers = {"Location": reverse("api:webhook-endpoint", kwargs={"endpoint_id": str(made.pk)}), **NO_STORE}
        replayed = {"Idempotency-Replayed": "true"} if is_replayed else {}
        return Response(_with_secret(made), 201, headers=headers | replayed)


class EndpointDetail(WebhookView):
    """`/webhook-endpoints/{id}`"""

    @extend_schema(
        operation_id="getWebhookEndpoint",
        summary="Get a webhook endpoint",
        responses={200: documents.EndpointDocument, **problem_answers(404)},
    )
    def get(self, request: Request, endpoint_id: str) -> Response:
        """Return the endpoint."""
        return Response(_endpoint(self.endpoint(request, endpoint_id)))

    @extend_schema(
        operation_id="changeWebhookEndpoint",
        summary="Change a webhook endpoint, or turn it off and on",
        request=documents.EndpointChange,
        responses={200: documents.EndpointDocument, **problem_answers(404, 409, 422)},
    )
    def patch(self, request: Request, endpoint_id: str) -> Response:
        """Change what is given; deliveries that wait go to the new address."""
        endpoint = self.endpoint(request, endpoint_id)
        wish = documents.EndpointChange(data=request.data)
        wish.is_valid(raise_exception=True)
        endpoints.change(endpoint, **wish.validated_data)
        return Response(_endpoint(self.endpoint(request, endpoint_id)))

    @extend_schema(
        operation_id="deleteWebhookEndpoint",
        summary="Delete a webhook endpoint",
        responses={204: None, **problem_answers(404)},
    )
    def delete(self, request: Request, endpoint_id: str) -> Response:
        """Delete the endpoint, and its deliveries, sent or not."""
        self.endpoint(request, endpoint_id).delete()
        return Response(status=204)


class EndpointRotate(WebhookView):
    """`/webhook-endpoints/{id}/rotate-secret`"""

    @extend_schema(
        operation_id="rotateWebhookSecret",
        summary="Give a webhook endpoint another secret",
        request=None,
        responses={200: documents.EndpointWithSecret, **problem_answers(404, 409)},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Return the new secret; for 24 hours each message is signed with the one before, too."""
        if not endpoints.rotate(self.endpoint(request, endpoint_id), clock.now()):
            raise NotPossible("It was rotated at this very moment.")
        return Response(_with_secret(self.endpoint(request, endpoint_id)), headers=NO_STORE)


class EndpointTest(WebhookView):
    """`/webhook-endpoints/{id}/test`"""

    @extend_schema(
        operation_id="testWebhookEndpoint",
        summary="Send a test event",
        request=None,
        responses={202: documents.DeliveryDocument, **problem_answers(404, 409)},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send a `webhook.test` event within seconds; the delivery tells what came of it."""
        endpoint = self.endpoint(request, endpoint_id)
        if not endpoint.url or not endpoint.is_enabled:
            raise NotPossible("It has no address, or is turned off.")
        return Response(_delivery(events.ping(endpoint, clock.now())), 202)


class DeliveryCollection(WebhookView):
    """`/webhook-deliveries`"""

    @extend_schema(
        operation_id="listWebhookDeliveries",
        summary="List webhook deliveries",
        parameters=[
            OpenApiParameter("endpoint", {"type": "string", "format": "uuid"}),
            OpenApiParameter("task", {"type": "string", "format": "uuid"}),
            OpenApiParameter("state", {"type": "string", "enum": WebhookDelivery.State.values}),
            OpenApiParameter("event", {"type": "string", "enum": [*documents.EVENTS, events.TEST_EVENT]}),
            *PAGING_PARAMETERS,
        ],
        responses={200: documents.DeliveryList, **problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return the deliveries of the caller's endpoints, newest first; kept for 30 days after their end."""
        rows = _narrowed(self.deliveries(request), request.query_params)
        return Response(page(rows, request.query_params, lambda found: list(map(_delivery, found))))


class DeliveryDetail(WebhookView):
    """`/webhook-deliveries/{id}`"""

    @extend_schema(
        operation_id="getWebhookDelivery",
        summary="Get a webhook delivery",
        responses={200: documents.DeliveryDocument, **problem_answers(404)},
    )
    def get(self, request: Request, delivery_id: str) -> Response:
        """Return the delivery with its last tries."""
        return Response(_delivery(self.delivery(request, delivery_id)))


class DeliveryResend(WebhookView):
    """`/webhook-deliveries/{id}/resend`"""

    @extend_schema(
        operation_id="resendWebhookDelivery",
        summary="Send a webhook delivery again",
        request=None,
        responses={202: documents.DeliveryDocument, **problem_answers(404, 409)},
    )
    def post(self, request: Request, delivery_id: str) -> Response:
        """Send it again with the same id and body; one that is pending is sent next."""
        return Response(_delivery(courier.resend(self.delivery(request, delivery_id))), 202)


def _refuse_unknown(query: QueryDict, known: tuple[str, ...]) -> None:
    for name in query:
        if name not in (*known, *PAGING):
            raise wrong(name, "unknown parameter")


def _narrowed(rows: QuerySet[WebhookDelivery], query: QueryDict) -> QuerySet[WebhookDelivery]:
    choices = {"state": WebhookDelivery.State.values, "event": [*documents.EVENTS, events.TEST_EVENT]}
    _refuse_unknown(query, ("endpoint", "task", *choices))
    for name in ("endpoint", "task", *choices):
        value = query.get(name)
        if value is None:
            continue
        if not (value in choices[name] if name in choices else TASK_ID.fullmatch(value)):
            raise wrong(name, f"not among {', '.join(choices[name])}" if name in choices else "not an id")
        rows = rows.filter(**{name: value})
    return rows


def _endpoint(endpoint: WebhookEndpoint) -> dict[str, Any]:
    is_overlapping = endpoint.old_salt_until is not None and endpoint.old_salt_until > clock.now()
    return {
        "object": "webhook_endpoint",
        "id": str(endpoint.pk),
        "url": endpoint.url or None,
        "events": sorted(each.event for each in endpoint.subscriptions.all()),
        "description": endpoint.description,
        "is_enabled": endpoint.is_enabled,
        "disabled_reason": endpoint.disabled_reason or None,
        "old_secret_until": moment(endpoint.old_salt_until) if is_overlapping else None,
        "created_at": moment(endpoint.created_at),
    }


def _with_secret(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {**_endpoint(endpoint), "secret": signing.secret_of(endpoint.salt)}


def _delivery(delivery: WebhookDelivery) -> dict[str, Any]:
    is_pending = delivery.state == WebhookDelivery.State.PENDING
    return {
        "object": "webhook_delivery",
        "id": str(delivery.pk),
        "endpoint": str(delivery.endpoint_id),
        "url": delivery.callback_url or delivery.endpoint.url,
        "event": delivery.event,
        "task": str(delivery.task_id) if delivery.task_id else None,
        "state": delivery.state,
        "tries": delivery.tries,
        "log": delivery.log,
        "happened_at": moment(delivery.happened_at),
        "due_at": moment(delivery.due_at) if is_pending else None,
        "retry_until": moment(delivery.retry_until),
        "ended_at": moment(delivery.ended_at),
    }
