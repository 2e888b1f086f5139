"""The app providers."""

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _

from providers.checks import check_providers


class ProvidersConfig(AppConfig):
    """The wall to foreign AI services."""

    name = "providers"
    verbose_name = _("AI providers")

    def ready(self) -> None:
        """Register the checks of the settings."""
        checks.register(check_providers, "providers")
