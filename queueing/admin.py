"""The queue's rows in Django admin, read-only: mutations go through the operators' actions in ai_tasks."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from queueing.models import QueueEntry, TaskQueue


class ReadOnlyAdmin(admin.ModelAdmin):
    """Look, do not touch."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds rows by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody edits rows by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes rows by hand."""
        return False


@admin.register(TaskQueue)
class TaskQueueAdmin(ReadOnlyAdmin):
    """Queues by provider and lane."""

    list_display = ("provider", "lane", "paused_at", "paused_until", "pause_reason", "soft_mark", "hard_mark")
    list_filter = ("lane",)


@admin.register(QueueEntry)
class QueueEntryAdmin(ReadOnlyAdmin):
    """Live entries, in the order of admission."""

    list_display = (
        "task_id",
        "provider",
        "model",
        "lane",
        "priority",
        "state",
        "parked_reason",
        "parked_until",
        "enqueued_at",
        "leased_until",
    )
    list_filter = ("state", "provider", "lane", "priority", "parked_reason")
    search_fields = ("=task_id",)
    ordering = ("provider", "lane", "priority", "fair_tag", "id")
    show_full_result_count = False
