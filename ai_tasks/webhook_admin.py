"""Webhooks in Django admin: where they go, what was sent, and *send again*."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ai_tasks import courier
from ai_tasks.errors import NotPossible
from ai_tasks.models import WebhookDelivery, WebhookEndpoint
from queueing.admin import ReadOnlyAdmin

MOST_AT_ONCE = 1_000


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Endpoints; their owners change them over the API. Secrets are nowhere."""

    list_display = ("url", "owner", "is_enabled", "disabled_reason", "created_at")
    list_filter = ("is_enabled",)
    search_fields = ("url", "owner__username")
    list_select_related = ("owner",)
    fields = ("url", "owner", "description", "is_enabled", "disabled_reason", "old_salt_until", "created_at")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Deliveries and their tries."""

    list_display = ("id", "event", "endpoint", "state", "tries", "happened_at", "due_at", "ended_at")
    list_filter = ("state", "event")
    search_fields = ("=task__id", "endpoint__url")
    list_select_related = ("endpoint",)
    list_per_page = 50
    fields = (*list_display, "task", "callback_url", "retry_until")
    actions = ("resend",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """What was said and answered is for whoever may see payloads."""
        return [*self.fields, *(("log", "body") if request.user.has_perm("ai_tasks.view_payloads") else ())]

    @admin.action(description=_("Send the selected deliveries again"), permissions=["resend"])
    def resend(self, request: HttpRequest, chosen: QuerySet[WebhookDelivery]) -> None:
        """Send them again, with the same ids and bodies."""
        sent = 0
        for delivery in chosen.select_related("endpoint")[:MOST_AT_ONCE]:
            try:
                courier.resend(delivery)
                sent += 1
            except NotPossible as error:
                self.message_user(request, f"{delivery.pk}: {error.detail}", messages.ERROR)
        said = ngettext("%(count)d delivery is sent again.", "%(count)d deliveries are sent again.", sent)
        self.message_user(request, said % {"count": sent}, messages.SUCCESS if sent else messages.WARNING)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Whoever may change deliveries."""
        return request.user.has_perm("ai_tasks.change_webhookdelivery")
