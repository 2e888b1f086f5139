"""Tasks, money, dead letters and processes in Django admin. What the walk writes is read-only here."""

import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ai_tasks import batch_admin, budget_admin, dead_letter_admin, webhook_admin
from ai_tasks.accounts.managers import BUCKETS, OUTPUT
from ai_tasks.accounts.models import Attempt, LedgerEntry
from ai_tasks.models import AIGenerationTask, ApiKey, Chunk, FinishHook, WorkerProcess
from ai_tasks.representation import usd
from queueing.admin import ReadOnlyAdmin

__all__ = ["batch_admin", "budget_admin", "dead_letter_admin", "webhook_admin"]


class AttemptInline(admin.TabularInline):
    """A task's tries, with their usage."""

    model = Attempt
    fields = ("epoch", "candidate", "state", "started_at", "first_token", "took", "tokens", "usage_source", "error")
    readonly_fields = fields
    can_delete = False
    extra = 0

    @admin.display(description=_("model"))
    def candidate(self, attempt: Attempt) -> str:
        """Return who was asked."""
        return f"{attempt.provider}/{attempt.model}"

    @admin.display(description=_("first token after"))
    def first_token(self, attempt: Attempt) -> str:
        """Return the seconds from the start to the first token."""
        return _seconds(attempt.started_at, attempt.first_token_at)

    @admin.display(description=_("took"))
    def took(self, attempt: Attempt) -> str:
        """Return the seconds from the start to the end."""
        return _seconds(attempt.started_at, attempt.finished_at)

    @admin.display(description=_("tokens"))
    def tokens(self, attempt: Attempt) -> str:
        """Return tokens in and out, every bucket of them."""
        if attempt.input_tokens is None:
            return "–"
        values = [getattr(attempt, name) or 0 for name in BUCKETS]
        return f"{sum(values[:-OUTPUT]):,} → {sum(values[-OUTPUT:]):,}"

    @admin.display(description=_("error"))
    def error(self, attempt: Attempt) -> str:
        """Return code and message."""
        return f"{attempt.error_class}: {attempt.error_message}" if attempt.error_class else "–"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The walk adds them."""
        return False


class LedgerInline(admin.TabularInline):
    """What a task cost."""

    model = LedgerEntry
    fields = ("kind", "provider", "model", "amount", "usage_source", "reason", "created_at")
    readonly_fields = fields
    can_delete = False
    extra = 0

    @admin.display(description=_("cost (USD)"))
    def amount(self, entry: LedgerEntry) -> str:
        """Return the exact amount."""
        return usd(entry.amount_usd) or "–"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The walk adds them."""
        return False


@admin.register(AIGenerationTask)
class AIGenerationTaskAdmin(ReadOnlyAdmin):
    """Tasks: where each is, what it used, what it cost."""

    list_display = ("id", "type", "status", "priority", "provider", "model", "owner", "tokens", "cost", "created_at")
    list_filter = ("status", "type", "provider", "priority", "lane")
    search_fields = ("=id", "=related_id", "owner__username")
    date_hierarchy = "created_at"
    list_select_related = ("owner",)
    list_per_page = 50
    show_full_result_count = False
    inlines = (AttemptInline, LedgerInline)
    fieldsets = (
        (None, {"fields": ("id", "type", "status", "owner", "priority", "lane", "error_text")}),
        (_("Route"), {"fields": ("requested_model", "route", "provider", "model", "serial_key")}),
        (_("Usage and cost"), {"fields": ("tokens", "cost", "max_cost", "usage")}),
        (
            _("Times"),
            {"fields": ("created_at", "run_at", "started_at", "finished_at", "deadline_at", "cancel_requested_at")},
        ),
        (
            _("Tries"),
            {"fields": ("epoch", "tries", "infrastructure_tries", "crashes", "deferrals")},
        ),
        (_("Input and output"), {"classes": ("collapse",), "fields": ("input_text", "output_text")}),
        (_("Relations"), {"fields": ("related_type", "related_id", "metadata", "callback_url", "redriven_from")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show what was asked and answered only to who may see it."""
        shown = super().get_fieldsets(request, obj)
        if request.user.has_perm("ai_tasks.view_payloads"):
            return shown
        return tuple(each for each in shown if "input_text" not in each[1]["fields"])

    @admin.display(description=_("tokens"))
    def tokens(self, task: AIGenerationTask) -> str:
        """Return tokens in and out."""
        if not task.usage:
            return "–"
        return f"{task.usage['input_tokens']:,} → {task.usage['output_tokens']:,}"

    @admin.display(description=_("cost (USD)"))
    def cost(self, task: AIGenerationTask) -> str:
        """Return the exact cost."""
        return usd(task.cost_usd) or "–"

    @admin.display(description=_("most it may cost (USD)"))
    def max_cost(self, task: AIGenerationTask) -> str:
        """Return the bound."""
        return usd(task.max_cost_usd) or "–"

    @admin.display(description=_("last error"))
    def error_text(self, task: AIGenerationTask) -> str:
        """Return code and message."""
        return f"{task.error['code']}: {task.error['message']}" if task.error else "–"

    @admin.display(description=_("input"))
    def input_text(self, task: AIGenerationTask) -> str:
        """Return the payload as it was given."""
        return _pretty(task.input)

    @admin.display(description=_("output"))
    def output_text(self, task: AIGenerationTask) -> str:
        """Return the result."""
        return _pretty(task.output)


def _seconds(start: datetime | None, end: datetime | None) -> str:
    return "–" if start is None or end is None else f"{(end - start).total_seconds():.2f} s"


def _pretty(value: Any) -> str:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Tries."""

    list_display = ("__str__", "provider", "model", "state", "error_class", "admitted_at", "started_at", "finished_at")
    list_filter = ("state", "provider", "error_class")
    search_fields = ("=task__id",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    """Charges and adjustments; append-only."""

    list_display = ("created_at", "kind", "owner", "task_type", "provider", "model", "amount", "usage_source", "reason")
    list_filter = ("kind", "provider", "task_type", "usage_source")
    search_fields = ("=task__id", "owner__username")
    list_select_related = ("owner",)
    show_full_result_count = False

    @admin.display(description=_("amount (USD)"))
    def amount(self, entry: LedgerEntry) -> str:
        """Return the exact amount."""
        return usd(entry.amount_usd) or "–"


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """API keys: recognised by their prefix; made by `createapikey`."""

    list_display = ("prefix", "name", "owner", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    exclude = ("digest",)
    list_select_related = ("owner",)


@admin.register(WorkerProcess)
class WorkerProcessAdmin(ReadOnlyAdmin):
    """Processes that run tasks."""

    list_display = ("hostname", "pid", "threads", "started_at", "last_seen_at", "stopping_at")


@admin.register(Chunk)
class ChunkAdmin(ReadOnlyAdmin):
    """Streamed output."""

    list_display = ("task", "seq", "epoch", "kind")
    search_fields = ("=task__id",)
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(FinishHook)
class FinishHookAdmin(ReadOnlyAdmin):
    """Hooks of finished tasks that are still to be run."""

    list_display = ("task", "tries", "due_at", "last_error")
