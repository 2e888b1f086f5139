"""Reads over the providers' rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Case, Q, When

if TYPE_CHECKING:
    from providers.models import Price, Provider
    from providers.route_models import Route


class ProviderManager(models.Manager["Provider"]):
    """Providers by name."""

    def establish(self, slug: str, adapter: str) -> tuple[Provider, bool]:
        """Return the provider's row and whether it is new; what is there is not changed."""
        return self.get_or_create(slug=slug, defaults={"adapter": adapter})


class PriceManager(models.Manager["Price"]):
    """Price lists by provider."""

    def of(self, provider: str) -> models.QuerySet[Price]:
        """
        Return all prices of a provider, list by list: the operators' first, exact names before patterns.

        Within a list by variant, the newest span first, the lowest tier first.
        """
        is_pattern = Case(When(match__isnull=True, then=0), default=1)
        by_operator = Case(When(origin="operator", then=0), default=1)
        order = (by_operator, "rank", is_pattern, "model", "variant", "-effective_from", "above_input_tokens")
        return self.filter(provider=provider).order_by(*order)

    def offered_models(self, providers: Collection[str], names: Collection[str]) -> list[tuple[str, str]]:
        """Return (provider, model) of what operators have priced by name, and of these names if priced, in order."""
        offered = Q(origin="operator", match__isnull=True) | Q(model__in=names)
        rows = self.filter(offered, provider__in=providers).order_by("provider", "model")
        return list(rows.values_list("provider", "model").distinct())


class RouteManager(models.Manager["Route"]):
    """Routes by alias."""

    def with_candidates(self) -> models.QuerySet[Route]:
        """Return all routes with their candidates, in two queries."""
        return self.prefetch_related("candidates").order_by("alias")
