"""The app config of the project itself, which brings its commands."""

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class ConfigConfig(AppConfig):
    """Commands that start the project's processes, and traces where they are wished."""

    name = "config"

    def ready(self) -> None:
        """Export spans, if that is configured; else nothing of it is even imported."""
        if not settings.AI_TRACES_ENDPOINT:
            return
        if not settings.AI_TRACES_ENDPOINT.startswith(("http://", "https://")):
            raise ImproperlyConfigured("OTEL_EXPORTER_OTLP_ENDPOINT must start with http:// or https://.")
        try:
            import_module("config.telemetry").export()
        except ModuleNotFoundError as error:
            raise ImproperlyConfigured(
                "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces: run pip install -r requirements-otel.txt first."
            ) from error
