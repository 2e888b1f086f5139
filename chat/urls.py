"""Pages at the root, calls under /api/v1/chat/."""

from django.urls import path

from ai_tasks.api.urls import View, with_and_without_slash
from chat import bulk, exports, pages, uploads, views

app_name = "chat"

SESSIONS = "api/v1/chat/sessions"
CALLS: list[tuple[str, View, str]] = [
    (SESSIONS, views.SessionCollection.as_view(), "sessions"),
    (f"{SESSIONS}/bulk", bulk.SessionBulk.as_view(), "bulk"),
    ("api/v1/chat/export", bulk.ChatExport.as_view(), "export-all"),
    ("api/v1/chat/month", views.Month.as_view(), "month"),
    (f"{SESSIONS}/<str:session_id>", views.SessionDetail.as_view(), "session"),
    (f"{SESSIONS}/<str:session_id>/messages", views.MessageCollection.as_view(), "messages"),
    (f"{SESSIONS}/<str:session_id>/attachments", uploads.AttachmentCollection.as_view(), "attachments"),
    (f"{SESSIONS}/<str:session_id>/attachments/<str:attachment_id>", uploads.AttachmentDetail.as_view(), "attachment"),
    (f"{SESSIONS}/<str:session_id>/export", exports.SessionExport.as_view(), "export"),
]

urlpatterns = [
    path("", pages.home, name="home"),
    path("chat/", pages.new, name="new"),
    path("chat/<uuid:session_id>/", pages.page, name="page"),
    *(pattern for call in CALLS for pattern in with_and_without_slash(*call)),
]
