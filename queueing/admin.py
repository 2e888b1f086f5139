"""
The queue's rows in Django admin. What the walk moves is read-only: that goes through operators' actions in ai_tasks.
Marks, bounds and weights are the operators' own, and go through the repository's verbs.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from queueing.managers import TaskQueueManager
from queueing.models import FairShare, QueueEntry, TaskQueue


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
class TaskQueueAdmin(admin.ModelAdmin):
    """Queues by provider and lane: their marks, their order, and whether they are paused."""

    list_display = ("provider", "lane", "paused_at", "paused_until", "pause_reason", "soft_mark", "hard_mark")
    list_filter = ("lane",)
    fields = ("provider", "lane", "paused_at", "paused_until", "pause_reason", *TaskQueueManager.CONFIGURABLE)
    readonly_fields = ("provider", "lane", "paused_at", "paused_until", "pause_reason")

    def save_model(self, request: HttpRequest, obj: TaskQueue, form: Any, change: bool) -> None:
        """Write what was changed and nothing else: somebody may pause the queue meanwhile."""
        TaskQueue.objects.configure(obj.pk, **{name: getattr(obj, name) for name in form.changed_data})

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The first task of a provider makes them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They hold the order of what waits."""
        return False


@admin.register(FairShare)
class FairShareAdmin(admin.ModelAdmin):
    """Users' shares of the classes; a weight counts for all classes of the queue."""

    list_display = ("owner_key", "queue", "priority", "weight", "entered", "correction")
    list_filter = ("queue", "priority")
    list_select_related = ("queue",)
    search_fields = ("=owner_key",)
    show_full_result_count = False
    fields = ("owner_key", "queue", "priority", "weight", "entered", "correction", "last_tag")
    readonly_fields = ("owner_key", "queue", "priority", "entered", "correction", "last_tag")

    def save_model(self, request: HttpRequest, obj: FairShare, form: Any, change: bool) -> None:
        """Give the user this weight from now on: what waits already gets new places."""
        queue = obj.queue
        TaskQueue.objects.set_weight(obj.owner_key, obj.weight, provider=queue.provider, lane=queue.lane)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A user's first task makes them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They remember what a user was given."""
        return False


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
