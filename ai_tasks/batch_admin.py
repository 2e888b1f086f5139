"""Files and batches in Django admin, to be read."""

from django.contrib import admin

from ai_tasks.models import Batch, StoredFile
from queueing.admin import ReadOnlyAdmin


@admin.register(StoredFile)
class StoredFileAdmin(ReadOnlyAdmin):
    """Files; what is in them is their owners'."""

    list_display = ("name", "owner", "purpose", "size_bytes", "created_at", "expires_at", "deleted_at")
    list_filter = ("purpose",)
    search_fields = ("=id", "name", "owner__username")
    list_select_related = ("owner",)
    fields = ("id", *list_display, "is_whole")


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    """Batches and how far they are."""

    list_display = ("id", "owner", "endpoint", "status", "total", "completed", "failed", "created_at", "finished_at")
    list_filter = ("status", "endpoint")
    search_fields = ("=id", "=input_file_id", "owner__username")
    list_select_related = ("owner",)
    exclude = ("runner", "collected_at", "read_bytes", "read_lines", "written_line")
