"""Addresses under /api/. They stand without a trailing slash, and are found with one, too."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.urls import URLPattern, path
from drf_spectacular.views import SpectacularAPIView

from ai_tasks.api import budgets, dead_letters, keys, operators, queues, redrives, streams, usage, views, webhooks
from ai_tasks.api.docs import DocsView

app_name = "api"

View = Callable[..., Any]


def with_and_without_slash(route: str, view: View, name: str) -> list[URLPattern]:
    """The second is wrapped, so that the API's description does not list it."""
    hidden = partial(view)
    hidden.csrf_exempt = getattr(view, "csrf_exempt", False)  # type: ignore[attr-defined]
    return [path(route, view, name=name), path(f"{route}/", hidden)]


ROUTES: list[tuple[str, View, str]] = [
    ("v1/tasks", streams.task_collection, "tasks"),
    ("v1/tasks/bulk", views.TaskBulk.as_view(), "tasks-bulk"),
    ("v1/tasks/<str:task_id>", views.TaskDetail.as_view(), "task"),
    ("v1/tasks/<str:task_id>/cancel", views.TaskCancel.as_view(), "task-cancel"),
    ("v1/tasks/<str:task_id>/retry", views.TaskRetry.as_view(), "task-retry"),
    ("v1/tasks/<str:task_id>/events", streams.task_events, "task-events"),
    ("v1/ws-tickets", views.TicketCollection.as_view(), "ws-tickets"),
    ("v1/webhook-endpoints", webhooks.EndpointCollection.as_view(), "webhook-endpoints"),
    ("v1/webhook-endpoints/<str:endpoint_id>", webhooks.EndpointDetail.as_view(), "webhook-endpoint"),
    ("v1/webhook-endpoints/<str:endpoint_id>/rotate-secret", webhooks.EndpointRotate.as_view(), "webhook-rotate"),
    ("v1/webhook-endpoints/<str:endpoint_id>/test", webhooks.EndpointTest.as_view(), "webhook-test"),
    ("v1/webhook-deliveries", webhooks.DeliveryCollection.as_view(), "webhook-deliveries"),
    ("v1/webhook-deliveries/<str:delivery_id>", webhooks.DeliveryDetail.as_view(), "webhook-delivery"),
    ("v1/webhook-deliveries/<str:delivery_id>/resend", webhooks.DeliveryResend.as_view(), "webhook-resend"),
    ("v1/keys", keys.KeyCollection.as_view(), "keys"),
    ("v1/keys/<str:key_id>", keys.KeyDetail.as_view(), "key"),
    ("v1/keys/<str:key_id>/rotate", keys.KeyRotate.as_view(), "key-rotate"),
    ("v1/keys/<str:key_id>/revoke", keys.KeyRevoke.as_view(), "key-revoke"),
    ("v1/budgets", budgets.BudgetCollection.as_view(), "budgets"),
    ("v1/usage", usage.UsageReport.as_view(), "usage"),
    ("v1/providers", operators.ProviderCollection.as_view(), "providers"),
    ("v1/providers/<str:provider>/circuit", operators.ProviderCircuit.as_view(), "provider-circuit"),
    ("v1/queues", queues.QueueCollection.as_view(), "queues"),
    ("v1/queues/<str:provider>", queues.QueueDetail.as_view(), "queue"),
    ("v1/queues/<str:provider>/entries", queues.QueueEntries.as_view(), "queue-entries"),
    ("v1/queues/<str:provider>/pause", queues.QueuePause.as_view(), "queue-pause"),
    ("v1/queues/<str:provider>/resume", queues.QueueResume.as_view(), "queue-resume"),
    ("v1/queues/<str:provider>/reorder", queues.QueueReorder.as_view(), "queue-reorder"),
    ("v1/dead-letters", dead_letters.DeadLetterCollection.as_view(), "dead-letters"),
    ("v1/dead-letters/groups", dead_letters.DeadLetterGroups.as_view(), "dead-letter-groups"),
    ("v1/dead-letters/discard", dead_letters.DeadLetterDiscard.as_view(), "dead-letter-discard"),
    ("v1/dead-letters/<str:letter_id>", dead_letters.DeadLetterDetail.as_view(), "dead-letter"),
    ("v1/dead-letters/<str:letter_id>/redrive", dead_letters.DeadLetterRedrive.as_view(), "dead-letter-redrive"),
    ("v1/redrives", redrives.RedriveCollection.as_view(), "redrives"),
    ("v1/redrives/<str:redrive_id>", redrives.RedriveDetail.as_view(), "redrive"),
    ("v1/redrives/<str:redrive_id>/stop", redrives.RedriveStop.as_view(), "redrive-stop"),
    ("v1/redrives/<str:redrive_id>/resume", redrives.RedriveResume.as_view(), "redrive-resume"),
]

urlpatterns = [
    *(pattern for route in ROUTES for pattern in with_and_without_slash(*route)),
    path("schema/", SpectacularAPIView.as_view(authentication_classes=[], permission_classes=[]), name="schema"),
    path("docs/", DocsView.as_view(authentication_classes=[], permission_classes=[]), name="docs"),
]
