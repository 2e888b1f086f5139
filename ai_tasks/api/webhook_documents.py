"""The shapes of webhooks' answers and wishes."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from ai_tasks.api.documents import AnyObject, Document, ListDocument, always
from ai_tasks.api.fields import Flag, PublicUrl, StrictSerializer, Text
from ai_tasks.api.serializers import PRINTABLE
from ai_tasks.models import WebhookDelivery
from ai_tasks.webhooks.events import OPERATOR_EVENTS, TASK_EVENTS, TEST_EVENT

EVENTS = (*TASK_EVENTS, *OPERATOR_EVENTS)


class Events(serializers.ListField):
    """Some of the events there are."""

    def __init__(self, **options: Any) -> None:
        child = serializers.ChoiceField(choices=EVENTS)
        super().__init__(child=child, min_length=1, max_length=len(EVENTS), **options)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Ends of tasks",
            value={"url": "https://example.com/hooks/tasuki", "events": ["task.completed", "task.failed"]},
            request_only=True,
        )
    ]
)
class EndpointCreate(StrictSerializer):
    """An endpoint as its owner asks for it."""

    url = PublicUrl(
        max_length=500, required=False, help_text="Without it: the signer of what goes to tasks' `callback_url`."
    )
    events = Events(
        required=False, help_text="All ends of tasks, if not given; `budget.*` and `alert.*` are for staff."
    )
    description = Text(max_length=200, required=False, allow_blank=True, validators=[PRINTABLE])


class EndpointChange(StrictSerializer):
    """What of an endpoint can be changed."""

    url = PublicUrl(max_length=500, required=False)
    events = Events(required=False)
    description = Text(max_length=200, required=False, allow_blank=True, validators=[PRINTABLE])
    is_enabled = Flag(required=False)


class EndpointDocument(Document):
    """A webhook endpoint."""

    object = always("webhook_endpoint")
    id = serializers.UUIDField()
    url = serializers.CharField(allow_null=True, help_text="Null: it signs what goes to tasks' `callback_url`.")
    events = serializers.ListField(child=serializers.CharField())
    description = serializers.CharField()
    is_enabled = serializers.BooleanField()
    disabled_reason = serializers.CharField(allow_null=True)
    old_secret_until = serializers.DateTimeField(allow_null=True, help_text="The secret before signs too, until then.")
    created_at = serializers.DateTimeField()


class EndpointWithSecret(EndpointDocument):
    """An endpoint as it was just made, or given another secret."""

    secret = serializers.CharField(help_text="`whsec_...`, shown this once.")


class EndpointList(ListDocument):
    """A page of endpoints, newest first."""

    data = EndpointDocument(many=True)  # type: ignore[assignment]


class DeliveryDocument(Document):
    """An event on its way to one endpoint; its id is the `webhook-id`."""

    object = always("webhook_delivery")
    id = serializers.UUIDField()
    endpoint = serializers.UUIDField()
    url = serializers.CharField()
    event = serializers.ChoiceField(choices=[*EVENTS, TEST_EVENT])
    task = serializers.UUIDField(allow_null=True)
    state = serializers.ChoiceField(choices=WebhookDelivery.State.values)
    tries = serializers.IntegerField()
    log = serializers.ListField(
        child=AnyObject(), help_text="The last 20 tries: `at`, `status`, `error`, `response`, `took_ms`."
    )
    happened_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(allow_null=True, help_text="Of a pending one: when it is tried next.")
    retry_until = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class DeliveryList(ListDocument):
    """A page of deliveries, newest first."""

    data = DeliveryDocument(many=True)  # type: ignore[assignment]
