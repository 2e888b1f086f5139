"""Operate: make the providers' rows, and move what is shared about their state."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from providers import circuits, pricing, registry
from providers.models import Circuit, CircuitMode, CircuitRule, Price, Provider, ProviderLimit, Route, RouteCandidate
from providers.types import Candidate, Limits, ProviderConfig

__all__ = [
    "block",
    "close",
    "closed_since",
    "due_reversals",
    "ensure_providers",
    "forced_too_long",
    "give_probe_back",
    "rest_no_longer",
    "rule",
    "set_circuit_mode",
    "set_limits",
    "set_route",
    "set_rule",
    "trip",
]

SIMULATOR_CONCURRENCY, DEFAULT_CONCURRENCY = 64, 16
SIMULATOR_USD = {"input": "0.10", "cache_read": "0.05", "cache_write": "0.10", "output": "0.40", "reasoning": "0.40"}
SIMULATOR_MODELS = {"sim-1": 1, "sim-large": 10}
DEFAULT_ROUTE = "default"

trip = circuits.trip
close = circuits.close
block = circuits.block
give_probe_back = circuits.give_probe_back
closed_since = circuits.closed
rule = circuits.rule
forced_too_long = circuits.forced_too_long
rest_no_longer = circuits.rest_no_longer


def set_circuit_mode(
    provider: str, mode: CircuitMode | str, now: datetime, *, model: str = "", until: datetime | None = None
) -> bool:
    """
    Force the circuit of a provider or of its model open or closed, or give it back to itself; True if it changed.

    What is forced until then is to be given back by whoever sweeps `forced_too_long`.
    """
    return circuits.set_mode(provider, CircuitMode(mode), now, model=model, until=until)


def set_rule(provider: str, **values: int | bool) -> None:
    """Change when the provider's circuits open: fields of CircuitRule."""
    CircuitRule.objects.update_or_create(provider_id=provider, defaults=values)


@transaction.atomic
def set_route(
    alias: str,
    candidates: Sequence[Candidate],
    *,
    on_error: Mapping[str, str] | None = None,
    patience_seconds: int | None = None,
) -> None:
    """
    Let the alias lead to these candidates, in this order, and to no others.

    What follows an error there, and how long work may wait at one of them, stays as it is where it is not given.
    """
    said = {"on_error": on_error, "patience_seconds": patience_seconds}
    wanted = {name: value for name, value in said.items() if value is not None}
    route, _ = Route.objects.update_or_create(alias=alias, defaults=wanted)
    route.candidates.all().delete()
    RouteCandidate.objects.bulk_create(
        RouteCandidate(route=route, position=position, provider_id=each.provider, model=each.model)
        for position, each in enumerate(candidates)
    )


def set_limits(
    provider: str,
    limits: Limits,
    *,
    model: str = "",
    back_at: datetime | None = None,
    back_to: Limits | None = None,
) -> None:
    """
    Bound a provider, or one of its models, from the next admission on.

    `back_at` and `back_to` note what it is to be again, and when, for whoever sweeps `due_reversals`.
    """
    note = {"back_at": back_at, "back_to": asdict(back_to) if back_to else None}
    ProviderLimit.objects.update_or_create(provider_id=provider, model=model, defaults=asdict(limits) | note)


def due_reversals(now: datetime) -> list[tuple[str, str, Limits]]:
    """Return (provider, model, limits) of the bounds whose time is over, and what they are to be again; locks them."""
    due = ProviderLimit.objects.filter(back_at__lte=now).select_for_update(skip_locked=True).order_by("pk")
    return [(row.provider_id, row.model, Limits(**row.back_to)) for row in due if row.back_to]


def ensure_providers(now: datetime) -> None:
    """
    Make the rows that are missing: each provider with its limits, circuit and prices, and the default route.

    What is there is never changed, and what an operator has deleted from a provider's prices stays deleted. Any number
    of processes may do this at once.
    """
    for config in registry.configs().values():
        with transaction.atomic():
            _ensure_provider(config, now)
    with transaction.atomic():
        _ensure_default_route()
    pricing.forget()


def _ensure_provider(config: ProviderConfig, now: datetime) -> None:
    provider, is_new = Provider.objects.establish(config.slug, config.adapter)
    concurrency = SIMULATOR_CONCURRENCY if config.adapter == "simulator" else DEFAULT_CONCURRENCY
    limit = ProviderLimit(provider=provider, model="", max_concurrency=concurrency)
    ProviderLimit.objects.bulk_create([limit], ignore_conflicts=True)
    Circuit.objects.bulk_create([Circuit(provider=provider)], ignore_conflicts=True)
    if is_new and (config.adapter == "simulator" or config.options.get("simulate")):
        Price.objects.bulk_create(_simulator_prices(provider, now))
        # Its callers script its failures: there is nothing that an operator could mend.
        CircuitRule.objects.create(provider=provider, waits_for_operator=False)


def _simulator_prices(provider: Provider, now: datetime) -> list[Price]:
    return [
        Price(
            provider=provider,
            model=model,
            effective_from=pricing.ALWAYS,
            source=f"made up for the simulator, {now:%Y-%m-%d}",
            **{f"{bucket}_usd": Decimal(usd) * factor for bucket, usd in SIMULATOR_USD.items()},
        )
        for model, factor in SIMULATOR_MODELS.items()
    ]


def _ensure_default_route() -> None:
    """Make the route `default`; candidates of providers that are not configured are left out (a check reports them)."""
    route, is_new = Route.objects.get_or_create(alias=DEFAULT_ROUTE)
    if not is_new:
        return
    pairs = [candidate.partition("/") for candidate in settings.AI_DEFAULT_ROUTE]
    known = [(provider, model) for provider, _, model in pairs if model and provider in registry.adapters()]
    RouteCandidate.objects.bulk_create(
        RouteCandidate(route=route, position=position, provider_id=provider, model=model)
        for position, (provider, model) in enumerate(known)
    )
