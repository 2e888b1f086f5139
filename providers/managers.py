"""Reads over the providers' rows."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from providers.models import Price, Provider, Route


class ProviderManager(models.Manager["Provider"]):
    """Providers by name."""

    def establish(self, slug: str, adapter: str) -> tuple[Provider, bool]:
        """Return the provider's row and whether it is new; what is there is not changed."""
        return self.get_or_create(slug=slug, defaults={"adapter": adapter})


class PriceManager(models.Manager["Price"]):
    """Prices by provider, model and moment."""

    def of(self, provider: str, model: str) -> models.QuerySet[Price]:
        """Return all prices of a model, the newest first."""
        return self.filter(provider=provider, model=model).order_by("-effective_from")

    def in_force(self, provider: str, model: str, at: datetime) -> Price | None:
        """Return the price that holds at that moment, or None."""
        return self.of(provider, model).filter(effective_from__lte=at).first()

    def priced_models(self, providers: Collection[str]) -> list[tuple[str, str]]:
        """Return (provider, model) of every model of these providers that has a price, in order."""
        pairs = self.filter(provider__in=providers).order_by("provider", "model").values_list("provider", "model")
        return list(pairs.distinct())


class RouteManager(models.Manager["Route"]):
    """Routes by alias."""

    def with_candidates(self) -> models.QuerySet[Route]:
        """Return all routes with their candidates, in two queries."""
        return self.prefetch_related("candidates").order_by("alias")
