"""The providers' rows in Django admin. Limits, prices and routes are settings of the operators; state is read-only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from providers import pricing
from providers.models import (
    Circuit,
    CircuitRule,
    CircuitTransition,
    Price,
    Provider,
    ProviderLimit,
    Route,
    RouteCandidate,
)


class StateAdmin(admin.ModelAdmin):
    """What the system writes by itself: to be seen only."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The system adds them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The system moves them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They stay."""
        return False


class LimitInline(admin.TabularInline):
    """A provider's bounds; the console changes them, and notes who did."""

    model = ProviderLimit
    fields = ("model", "max_concurrency", "requests_per_minute", "tokens_per_minute", "back_at")
    readonly_fields = fields
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The console adds them."""
        return False


class RuleInline(admin.StackedInline):
    """When a provider's circuits open."""

    model = CircuitRule


def _circuit(provider: Provider) -> Circuit | None:
    return next((circuit for circuit in provider.circuits.all() if not circuit.model), None)


@admin.register(Provider)
class ProviderAdmin(admin.ModelAdmin):
    """Providers and their limits; which there are, the environment says."""

    list_display = ("slug", "adapter", "circuit_state", "blocked_until", "created_at")
    readonly_fields = ("slug", "adapter", "created_at")
    inlines = (LimitInline, RuleInline)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the providers with their circuits."""
        return super().get_queryset(request).prefetch_related("circuits")

    @admin.display(description=_("circuit"))
    def circuit_state(self, provider: Provider) -> str:
        """Return the state of the provider's breaker."""
        circuit = _circuit(provider)
        return circuit.get_state_display() if circuit else ""

    @admin.display(description=_("blocked until"))
    def blocked_until(self, provider: Provider) -> Any:
        """Return the provider's own Retry-After."""
        circuit = _circuit(provider)
        return circuit and circuit.blocked_until

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The environment names them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The environment names them."""
        return False


@admin.register(Circuit)
class CircuitAdmin(StateAdmin):
    """Breakers."""

    list_display = (
        "provider",
        "model",
        "state",
        "mode",
        "cause",
        "opened_at",
        "open_until",
        "probe_until",
        "blocked_until",
    )
    list_filter = ("state", "mode")


@admin.register(CircuitTransition)
class CircuitTransitionAdmin(StateAdmin):
    """Every move of a breaker."""

    list_display = ("created_at", "provider", "model", "from_state", "to_state", "cause")
    list_filter = ("provider", "to_state")
    show_full_result_count = False


@admin.register(Price)
class PriceAdmin(admin.ModelAdmin):
    """Prices, in USD per million tokens. Imported ones are to be seen; an operator's own go before them."""

    list_display = (
        "provider",
        "model",
        "variant",
        "above_input_tokens",
        "input_usd",
        "cache_read_usd",
        "output_usd",
        "effective_from",
        "effective_until",
        "origin",
        "source",
    )
    list_filter = ("origin", "provider", "variant")
    search_fields = ("model",)
    list_select_related = ("provider",)

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """Imported prices are changed by `sync_prices`."""
        return super().has_change_permission(request, obj) and not _is_imported(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """Imported prices stay: what was charged by them can be explained."""
        return super().has_delete_permission(request, obj) and not _is_imported(obj)

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        """Save the price; this process uses it at once, the others within seconds."""
        super().save_model(request, obj, form, change)
        pricing.forget()


def _is_imported(price: Price | None) -> bool:
    return price is not None and price.origin == Price.Origin.IMPORTED


class CandidateInline(admin.TabularInline):
    """A route's places."""

    model = RouteCandidate
    extra = 0


@admin.register(Route)
class RouteAdmin(admin.ModelAdmin):
    """Aliases and where they lead."""

    list_display = ("alias", "places")
    inlines = (CandidateInline,)

    @admin.display(description=_("candidates"))
    def places(self, route: Route) -> str:
        """Return the candidates in order."""
        return " → ".join(str(place) for place in route.candidates.all())
