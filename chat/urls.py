"""Pages at the root, calls under /api/v1/chat/."""

from django.urls import include, path

from chat import exports, pages, views

app_name = "chat"

API = [
    path("sessions", views.SessionCollection.as_view(), name="sessions"),
    path("sessions/<str:session_id>", views.SessionDetail.as_view(), name="session"),
    path("sessions/<str:session_id>/messages", views.MessageCollection.as_view(), name="messages"),
    path("sessions/<str:session_id>/export", exports.SessionExport.as_view(), name="export"),
]

urlpatterns = [
    path("", pages.home, name="home"),
    path("chat/", pages.new, name="new"),
    path("chat/<uuid:session_id>/", pages.page, name="page"),
    path("api/v1/chat/", include(API)),
]
