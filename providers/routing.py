"""Choose: which providers a model's name stands for, how much they bear, and whether they may be asked now."""

import re
from datetime import datetime, timedelta
from typing import Any

from providers import circuits, pictures, registry, types, windows
from providers.models import Circuit, Price, ProviderLimit, Route, RouteCandidate
from providers.types import OPEN_GATE, Candidate, Gate, Limits, ModelChoice, Place

__all__ = [
    "Gate",
    "ModelChoice",
    "UnknownModel",
    "circuit",
    "gate",
    "gates",
    "is_named",
    "limits",
    "models",
    "patience",
    "resolve",
    "route",
    "slugs",
    "take_probe",
    "takes_pictures",
    "window_tokens",
]

ALIAS = re.compile(r"[-a-zA-Z0-9_]{1,60}")
MODEL_LENGTH = 120


class UnknownModel(ValueError):
    """No route of that name, and no configured provider."""


def slugs() -> list[str]:
    """Return the configured providers' names, in the order of the setting."""
    return list(registry.adapters())


def resolve(model: str) -> list[Candidate]:
    """Return who may do the work, the first choice first. Raises UnknownModel."""
    return [place.candidate for place in route(model).places]


def route(model: str) -> types.Route:
    """
    Return the places where the work may be done, the first choice first, and what the route says about them.

    `alias` gives the route's candidates as far as their providers are configured; `provider/model` that one, whatever
    the model is called (slashes included). Raises UnknownModel.
    """
    provider, slash, name = model.partition("/")
    if slash and provider in registry.adapters() and 0 < len(name) <= MODEL_LENGTH and name.isprintable():
        return types.Route((Place(Candidate(provider, name), windows.window_tokens(name)),))
    if not slash and ALIAS.fullmatch(model) and (found := _route(model)):
        return found
    raise UnknownModel(f"There is no route {model[:160]!r}, and no configured provider of that name.")


def _route(alias: str) -> types.Route | None:
    rows = RouteCandidate.objects.filter(route=alias, provider__in=slugs()).select_related("route").order_by("position")
    places = tuple(
        Place(Candidate(row.provider_id, row.model), row.window_tokens or windows.window_tokens(row.model))
        for row in rows
    )
    if not places:
        return None
    said = rows[0].route
    return types.Route(places, said.on_error, said.max_usd_per_call, said.after_cut)


def patience() -> dict[str, timedelta]:
    """Return how long tasks of a route wait at one provider, for the routes that say so."""
    rows = Route.objects.filter(patience_seconds__isnull=False).values_list("alias", "patience_seconds")
    return {alias: timedelta(seconds=seconds) for alias, seconds in rows if seconds is not None}


def limits(provider: str) -> dict[str, Limits]:
    """Return the provider's bounds by model; the key "" is the provider as a whole and always there."""
    rows = ProviderLimit.objects.raw("SELECT * FROM providers_providerlimit WHERE provider_id = %s", [provider])
    return {"": Limits()} | {
        row.model: Limits(row.max_concurrency, row.requests_per_minute, row.tokens_per_minute) for row in rows
    }


gates = circuits.gates
take_probe = circuits.take_probe


def gate(provider: str, now: datetime, *, model: str = "") -> Gate:
    """Return whether calls may go to the provider, or to one of its models, and if not, why and until when."""
    return gates(provider, now).get(model, OPEN_GATE)


def circuit(provider: str) -> dict[str, Any]:
    """
    Return the provider's circuit as it is stored: `state`, `mode`, `forced_until`, `cause`, `opened_at`, `open_until`.

    `models` has those of its models that are not closed, by name.
    """
    columns = ("model", "state", "mode", "cause", "forced_until", "opened_at", "open_until")
    unknown: dict[str, Any] = {**dict.fromkeys(columns[4:]), "state": "closed", "mode": "auto", "cause": ""}
    rows = {row.pop("model"): row for row in Circuit.objects.filter(provider=provider).values(*columns)}
    whole: dict[str, Any] = rows.pop("", unknown)
    return whole | {"models": {model: row for model, row in sorted(rows.items()) if row["state"] != "closed"}}


def is_named(provider: str, model: str) -> bool:
    """Does a route lead there?"""
    return RouteCandidate.objects.filter(provider=provider, model=model).exists()


def models() -> list[ModelChoice]:
    """
    Return what a model picker offers: the routes that lead somewhere, then `provider/model`s.

    These are the models with a price that routes name or operators have priced; imported lists have thousands.
    """
    configured = slugs()
    choices, names = [], set()
    for route in Route.objects.with_candidates():
        places = [place for place in route.candidates.all() if place.provider_id in configured]
        names |= {place.model for place in places}
        if places:
            choices.append(ModelChoice(route.alias, f"{route.alias} → {places[0]}"))
    pairs = Price.objects.offered_models(configured, names)
    return choices + [ModelChoice(f"{provider}/{name}", f"{provider}/{name}") for provider, name in pairs]


def takes_pictures(model: str) -> bool:
    """May any who could do the work read pictures? Only what is known to read text alone does not count."""
    return any(pictures.takes_pictures(candidate.model) for candidate in resolve(model))


def window_tokens(model: str) -> int | None:
    """Return the smallest window among who may do the work, input and output; None: of one it is not published."""
    found = [place.window_tokens for place in route(model).places]
    known = [tokens for tokens in found if tokens is not None]
    return min(known) if len(known) == len(found) else None
