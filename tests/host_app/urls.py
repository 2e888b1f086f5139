"""The host's addresses, beside the platform's."""

from django.urls import include, path

from tests.host_app import views

urlpatterns = [
    path("summaries", views.create),
    path("summaries/<int:summary_id>", views.show),
    path("", include("config.urls")),
]
