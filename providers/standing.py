"""Look: what operators see of all providers at once, each question one query."""

from datetime import datetime
from typing import Any

from providers import circuits, registry
from providers.models import Circuit, CircuitTransition, ProviderLimit, RouteCandidate
from providers.types import Candidate, Limits

__all__ = ["circuits_of_all", "limits_of_all", "routes_by", "transitions"]

COLUMNS = (
    "model",
    "state",
    "mode",
    "cause",
    "opened_at",
    "open_until",
    "open_seconds",
    "probe_until",
    "closed_at",
    "blocked_until",
)


def circuits_of_all(now: datetime) -> dict[str, dict[str, dict[str, Any]]]:
    """
    Return the circuits of every configured provider, by provider and model; "" is the provider's own, always there.

    Each has what is stored of it, and `gate`: whether calls may go there now, and if not, why and until when.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {slug: {"": _told(Circuit(), now)} for slug in registry.adapters()}
    for row in Circuit.objects.filter(provider__in=found).order_by("provider", "model"):
        found[row.provider_id][row.model] = _told(row, now)
    return found


def _told(row: Circuit, now: datetime) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in COLUMNS}
    words = {"state_word": row.get_state_display(), "mode_word": row.get_mode_display()}
    return told | words | {"gate": circuits.gate(row, now)}


def limits_of_all() -> dict[str, dict[str, Limits]]:
    """Return the bounds of every configured provider, by provider and model; "" is the provider as a whole."""
    found: dict[str, dict[str, Limits]] = {slug: {"": Limits()} for slug in registry.adapters()}
    for row in ProviderLimit.objects.filter(provider__in=found).order_by("provider", "model"):
        bounds = Limits(row.max_concurrency, row.requests_per_minute, row.tokens_per_minute)
        found[row.provider_id][row.model] = bounds
    return found


def transitions(provider: str, most: int) -> list[dict[str, Any]]:
    """Return the last moves of the circuits of a provider and its models, the newest first."""
    rows = CircuitTransition.objects.filter(provider=provider).order_by("-id")[:most]
    return [
        {
            "model": row.model,
            "from": row.get_from_state_display(),
            "to": row.get_to_state_display(),
            "state": row.to_state,
            "cause": row.cause,
            "at": row.created_at,
        }
        for row in rows
    ]


def routes_by(provider: str) -> list[tuple[str, list[Candidate]]]:
    """Return the routes that lead to a provider, each with its places that are configured, the first choice first."""
    aliases = RouteCandidate.objects.filter(provider=provider).values("route")
    found: dict[str, list[Candidate]] = {}
    for row in RouteCandidate.objects.filter(route__in=aliases, provider__in=registry.adapters()):
        found.setdefault(row.route_id, []).append(Candidate(row.provider_id, row.model))
    return sorted(found.items())
