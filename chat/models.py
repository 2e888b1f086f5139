"""The aggregate ChatSession: sessions and their messages."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ai_tasks.ids import uuid7
from chat.managers import ChatAttachmentQuerySet, ChatMessageQuerySet, ChatSessionManager
from chat.states import AttachmentKind, MessageRole, MessageState, SessionState


class ChatSession(models.Model):
    """A conversation of one user, free or about one item of the host's domain."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="chat_sessions")
    title = models.CharField(max_length=200, blank=True, default="")
    item_type = models.CharField(max_length=60, blank=True, default="")
    item_id = models.CharField(max_length=200, blank=True, default="")
    system_prompt = models.TextField(blank=True, default="")
    model = models.CharField(max_length=160, default="default")
    """A route's alias or `provider/model`."""
    state = models.CharField(max_length=10, choices=SessionState.choices, default=SessionState.ACTIVE)
    next_number = models.PositiveIntegerField(default=1)
    """Number of the next message; taken under this row's lock, so that there are no gaps or doubles."""
    created_at = models.DateTimeField()
    last_activity_at = models.DateTimeField()

    objects = ChatSessionManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=SessionState.values), name="session_state_known"),
            models.UniqueConstraint(
                fields=("owner", "item_type", "item_id"),
                condition=Q(state=SessionState.ACTIVE) & ~Q(item_type=""),
                name="session_one_active_per_item",
            ),
        ]
        indexes = [
            models.Index(fields=("owner", "-last_activity_at", "-id"), name="session_owner"),
            models.Index(fields=("last_activity_at",), condition=Q(state=SessionState.ACTIVE), name="session_idle"),
        ]
        ordering = ("-last_activity_at", "-id")
        verbose_name = _("chat session")
        verbose_name_plural = _("chat sessions")

    def __str__(self) -> str:
        return self.title or str(self.id)


class ChatMessage(models.Model):
    """One message; an assistant's text is copied from its task when that ends."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="messages")
    number = models.PositiveIntegerField()
    """From 1, without gaps, in order of creation."""
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    """The message that this one answers or follows; siblings are versions of each other."""
    role = models.CharField(max_length=10, choices=MessageRole.choices)
    state = models.CharField(max_length=10, choices=MessageState.choices, default=MessageState.DONE)
    content = models.TextField(blank=True, default="")
    task_id = models.UUIDField(null=True, blank=True, unique=True)
    """The task that writes it; null for people's messages."""
    client_id = models.CharField(max_length=64, blank=True, default="")
    """The sender's own id, so that a resent message is not sent twice."""
    error = models.JSONField(null=True, blank=True)
    usage = models.JSONField(null=True, blank=True)
    cost_usd = models.CharField(max_length=30, blank=True, default="")
    """Decimal string as the task shows it; empty: unpriced or not known."""
    answered_by = models.CharField(max_length=160, blank=True, default="")
    """`provider/model` that wrote it."""
    fallback = models.JSONField(null=True, blank=True)
    """`{"from", "to", "reason"}` when another candidate of the route could not answer."""
    attachments = models.JSONField(default=list, blank=True)
    """What came with it, in order: `{"id", "name", "kind", "media_type", "size_bytes"}` each."""
    created_at = models.DateTimeField()

    objects = ChatMessageQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("session", "number"), name="message_number_once"),
            models.UniqueConstraint(
                fields=("session", "client_id"), condition=~Q(client_id=""), name="message_client_id_once"
            ),
            models.CheckConstraint(condition=Q(state__in=MessageState.values), name="message_state_known"),
        ]
        ordering = ("session", "number")
        verbose_name = _("chat message")
        verbose_name_plural = _("chat messages")

    def __str__(self) -> str:
        return f"{self.session_id}#{self.number}"

    @property
    def is_unfinished(self) -> bool:
        """Is its task still writing it, as far as this row knows?"""
        return self.state == MessageState.PENDING and self.task_id is not None


class ChatAttachment(models.Model):
    """A picture or text that somebody put into a conversation; it goes when the session is deleted."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=200)
    """The file's name, as its owner had it, without control characters."""
    kind = models.CharField(max_length=10, choices=AttachmentKind.choices)
    media_type = models.CharField(max_length=40)
    """What its bytes say; not what the sender said."""
    size_bytes = models.PositiveIntegerField()
    data = models.BinaryField()
    sent_at = models.DateTimeField(null=True, blank=True)
    """When the first message with it was sent; null: uploaded only, and forgotten after a day."""
    created_at = models.DateTimeField()

    objects = ChatAttachmentQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=("created_at",), condition=Q(sent_at=None), name="attachment_unsent"),
        ]
        ordering = ("session", "id")
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")

    def __str__(self) -> str:
        return self.name
