"""Conversations in Django's admin: to read, not to write."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from chat.models import ChatMessage, ChatSession

EXCERPT_CHARACTERS = 80


class ReadOnly:
    """Nobody adds, changes or deletes here: a conversation belongs to its owner."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """No."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """No."""
        return False


@admin.register(ChatSession)
class ChatSessionAdmin(ReadOnly, admin.ModelAdmin):
    """Sessions, last used first."""

    list_display = ("name", "owner", "state", "model", "message_count", "item_type", "last_activity_at")
    list_filter = ("state", "model", "item_type", "last_activity_at")
    search_fields = ("=id", "title", "owner__username", "item_id")
    list_select_related = ("owner",)
    ordering = ("-last_activity_at",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChatSession]:
        """Count messages in the same query."""
        return super().get_queryset(request).annotate(message_count=Count("messages"))

    @admin.display(description=_("title"), ordering="title")
    def name(self, session: ChatSession) -> str:
        """Return the title, or the id of a session without one."""
        return str(session)

    @admin.display(description=_("messages"), ordering="message_count")
    def message_count(self, session: Any) -> int:
        """Return how many messages it has, all branches included."""
        return int(session.message_count)


@admin.register(ChatMessage)
class ChatMessageAdmin(ReadOnly, admin.ModelAdmin):
    """Messages, newest first."""

    list_display = ("excerpt", "session", "number", "role", "state", "answered_by", "cost_usd", "created_at")
    list_filter = ("state", "role", "answered_by", "created_at")
    search_fields = ("=id", "=task_id", "=session__id", "content", "session__owner__username")
    list_select_related = ("session",)
    ordering = ("-created_at",)
    show_full_result_count = False

    @admin.display(description=_("content"))
    def excerpt(self, message: ChatMessage) -> str:
        """Return the beginning of its text."""
        return Truncator(message.content).chars(EXCERPT_CHARACTERS) or "-"
