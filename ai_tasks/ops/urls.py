"""The console's addresses, below `/admin/ops/`."""

from django.urls import path

from ai_tasks.ops.pages.overview import Overview

app_name = "ops"
urlpatterns = [
    path("", Overview.as_view(), name="overview"),
]
