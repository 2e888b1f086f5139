"""The app queueing."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class QueueingConfig(AppConfig):
    """Order, leases, dead letters."""

    name = "queueing"
    verbose_name = _("Queue")
