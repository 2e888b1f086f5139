"""Where events are sent to, and what was sent there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Window
from django.db.models.functions import RowNumber
from django.utils.translation import gettext_lazy as _

from ai_tasks.ids import uuid7

LEASE = timedelta(seconds=60)
"""How long a sender has a delivery to itself; more than a delivery can take."""


class EndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    """Adjectives of endpoints."""

    def listening(self) -> EndpointQuerySet:
        """On, and with an address of their own."""
        return self.filter(is_enabled=True).exclude(url="")

    def hearing(self, event: Any) -> EndpointQuerySet:
        """Listening, and they asked for this event."""
        return self.listening().filter(subscriptions__event=event)


class WebhookEndpoint(models.Model):
    """An address of a user's to which events are sent; without one: the signer of their tasks' `callback_url`s."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook_endpoints")
    url = models.URLField(max_length=500, blank=True, default="")
    """Empty: the one that signs what goes to callback URLs."""
    description = models.CharField(max_length=200, blank=True, default="")
    salt = models.CharField(max_length=64)
    """What its secret is derived from, together with SECRET_KEY."""
    old_salt = models.CharField(max_length=64, blank=True, default="")
    """Of the secret before, which signs too until `old_salt_until`."""
    old_salt_until = models.DateTimeField(null=True, blank=True)
    is_enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, blank=True, default="")
    """Why it was turned off, where nobody asked for that."""
    created_at = models.DateTimeField()

    objects = EndpointQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("owner",), condition=Q(url=""), name="webhook_one_callback_signer")
        ]
        ordering = ("-id",)
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")

    def __str__(self) -> str:
        return self.url or f"callbacks of {self.owner_id}"


class WebhookSubscription(models.Model):
    """An event that an endpoint asked for."""

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="subscriptions")
    event = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("endpoint", "event"), name="webhook_subscribed_once")]
        verbose_name = _("webhook subscription")
        verbose_name_plural = _("webhook subscriptions")

    def __str__(self) -> str:
        return self.event


class DeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    """Adjectives of deliveries, and the compare-and-set by which one sender has one."""

    def pending(self) -> DeliveryQuerySet:
        """Neither taken nor given up."""
        return self.filter(state=WebhookDelivery.State.PENDING)

    def free(self, now: datetime) -> DeliveryQuerySet:
        """Pending, and nobody's at this moment."""
        return self.pending().filter(Q(leased_until=None) | Q(leased_until__lt=now))

    def due(self, now: datetime) -> DeliveryQuerySet:
        """To be sent now, by whoever comes first."""
        return self.free(now).filter(due_at__lte=now, endpoint__is_enabled=True)

    def at_most(self, each: int) -> DeliveryQuerySet:
        """Only so many of an endpoint, the oldest: a slow receiver does not stand in the others' way."""
        place = Window(RowNumber(), partition_by=F("endpoint_id"), order_by=[F("due_at").asc(), F("id").asc()])
        return self.annotate(place=place).filter(place__lte=each).order_by("due_at", "id")

    def overdue(self, now: datetime) -> DeliveryQuerySet:
        """Tried for long enough, or never because their endpoint was off."""
        return self.free(now).filter(retry_until__lt=now)

    def claim(self, delivery: WebhookDelivery, now: datetime) -> bool:
        """
        Lease a delivery that was seen to be due, counting the try; True for the one who got it.

        The condition is on this row alone: one on a joined table would become a subquery, which PostgreSQL does not
        ask again after waiting for another sender's lock.
        """
        mine = self.free(now).filter(pk=delivery.pk, tries=delivery.tries)
        return bool(mine.update(tries=delivery.tries + 1, leased_until=now + LEASE))


class WebhookDelivery(models.Model):
    """One event for one endpoint; its id is the message's, however often it is sent."""

    class State(models.TextChoices):
        """How far it is."""

        PENDING = "pending", _("pending")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("failed")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=40)
    source = models.CharField(max_length=120)
    """What happened, in a word of its own: `task:<id>:<version>`; one delivery of it per endpoint."""
    task = models.ForeignKey("ai_tasks.AIGenerationTask", null=True, on_delete=models.CASCADE, related_name="webhooks")
    callback_url = models.URLField(max_length=500, blank=True, default="")
    """The task's own address; empty: the endpoint's."""
    body = models.TextField(blank=True, default="")
    """What is sent, byte for byte; empty until it is sent first, or until its task is tried again."""
    happened_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    due_at = models.DateTimeField()
    retry_until = models.DateTimeField()
    leased_until = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)
    """Also the fence: who counted it up writes the result."""
    log = models.JSONField(default=list)
    """Its last tries: `{"at", "status", "error", "response", "took_ms"}`."""
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("endpoint", "event", "source"), name="webhook_once_per_event"),
        ]
        indexes = [
            models.Index(fields=("due_at",), condition=Q(state="pending"), name="webhook_due"),
            models.Index(fields=("ended_at",), condition=Q(ended_at__isnull=False), name="webhook_ended"),
        ]
        ordering = ("-id",)
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")

    def __str__(self) -> str:
        return f"{self.event} {self.id}"
