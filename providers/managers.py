"""Reads over the providers' rows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from providers.models import Price, Provider, Route


class ProviderManager(models.Manager["Provider"]):
    """Providers by name."""


class PriceManager(models.Manager["Price"]):
    """Prices by provider, model and moment."""

    def in_force(self, provider: str, model: str, at: datetime) -> Price | None:
        """Return the price that holds at that moment, or None."""
        rows = self.filter(provider=provider, model=model, effective_from__lte=at)
        return rows.order_by("-effective_from").first()


class RouteManager(models.Manager["Route"]):
    """Routes by alias."""
