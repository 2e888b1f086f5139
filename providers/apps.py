"""The app providers."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProvidersConfig(AppConfig):
    """The wall to foreign AI services."""

    name = "providers"
    verbose_name = _("AI providers")
