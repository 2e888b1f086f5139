"""The host's settings: the platform's, and its own."""

from config.settings import *  # noqa: F403
from config.settings import AI_TASK_TYPES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.host_app"]
AI_TASK_TYPES = [*AI_TASK_TYPES, "tests.host_app.work.SUMMARY"]
ROOT_URLCONF = "tests.host_app.urls"
