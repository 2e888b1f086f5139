"""The app config of the project itself, which brings its commands."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Commands that start the project's processes."""

    name = "config"
