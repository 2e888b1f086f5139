"""Credentials and idempotency keys. Secrets are stored as digests only."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from queueing.states import Priority


class ApiKey(models.Model):
    """A bearer credential of a user: shown once, stored as a digest, revocable."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    """First characters of the key, to recognise it by."""
    digest = models.CharField(max_length=64, unique=True)
    """SHA-256 of the whole key, in hex. The key has 256 random bits, so that no salt or slow hash is needed."""
    old_digest = models.CharField(max_length=64, null=True, blank=True, unique=True)
    """The text before the last rotation, which is good until `old_digest_until`."""
    old_digest_until = models.DateTimeField(null=True, blank=True)
    scopes = models.JSONField(default=list)
    """Any of `tasks`, `chat`, `operations`, `keys`."""
    priority_ceiling = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.HIGH)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    """Null: what AI_REQUESTS_PER_MINUTE says."""
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    """Written at most once a minute."""

    class Meta:
        ordering = ("-id",)
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class WebSocketTicket(models.Model):
    """A single-use, short-lived right to open one WebSocket."""

    digest = models.CharField(max_length=64, unique=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.CASCADE, related_name="+")
    """By which it was asked for; null: by a session."""
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("WebSocket ticket")
        verbose_name_plural = _("WebSocket tickets")

    def __str__(self) -> str:
        return f"{self.owner_id}, {self.expires_at:%H:%M:%S}"


class ResponseRecord(models.Model):
    """What POST /v1/responses was asked for, beside the task that it made: what is repeated in each answer about it."""

    task = models.OneToOneField(
        "ai_tasks.AIGenerationTask", on_delete=models.CASCADE, primary_key=True, related_name="response"
    )
    asked = models.JSONField()
    """The checked body, its input included."""

    class Meta:
        verbose_name = _("response")
        verbose_name_plural = _("responses")

    def __str__(self) -> str:
        return f"resp_{self.pk}"


class IdempotencyRecord(models.Model):
    """A create call's key, the digest of its body, and the objects it made; written in the same transaction."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    call = models.CharField(max_length=100)
    """Method and path."""
    digest = models.CharField(max_length=64)
    """SHA-256 of the body."""
    object_ids = models.JSONField(null=True, blank=True)
    """Of the object, or of all that a bulk call made; null until they exist."""
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("owner", "key"), name="idempotency_once_per_owner")]
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")

    def __str__(self) -> str:
        return self.key
