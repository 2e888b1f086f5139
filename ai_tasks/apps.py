"""The app ai_tasks."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AiTasksConfig(AppConfig):
    """The walk of a task."""

    name = "ai_tasks"
    verbose_name = _("AI tasks")
