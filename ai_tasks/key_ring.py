"""What somebody may do with their API keys: no key makes, or becomes, one that may more than itself."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet

from ai_tasks.access import keys
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Budget
from ai_tasks.errors import NotPossible
from ai_tasks.models import ApiKey
from queueing.states import Priority

MOST_OF_A_USER = 100

Money = Mapping[str, Any]
"""A budget as it is asked for: `limit_usd`, and perhaps `interval` and `time_zone`."""


class NotAllowed(Exception):
    """The key that asks may not do this to that key."""


def of_user(owner: User, now: datetime) -> QuerySet[ApiKey]:
    """Return the keys that are good, and those that ended within the last thirty days."""
    lately = now - timedelta(days=30)
    gone = Q(revoked_at__lte=lately) | Q(expires_at__lte=lately)
    return ApiKey.objects.filter(owner=owner).exclude(gone)


@transaction.atomic
def create(
    owner: User, now: datetime, *, actor: ApiKey | None, budget: Money | None = None, **values: Any
) -> tuple[ApiKey, str]:
    """
    Make a key as `keys.create` does, with a budget of its own; return it and its text.

    `actor` is the key that asks; None: somebody who is signed in. Raises NotAllowed, and NotPossible beyond a hundred.
    """
    values.setdefault("scopes", _inherited(actor))
    if actor is not None:
        values.setdefault("expires_at", actor.expires_at)
        values.setdefault("priority_ceiling", Priority(actor.priority_ceiling))
    _check(actor, ApiKey(**{"priority_ceiling": Priority.HIGH, **values}))
    # The owner's row keeps two calls at once from passing the bound together.
    User.objects.select_for_update().get(pk=owner.pk)
    alive = Q(expires_at=None) | Q(expires_at__gt=now)
    if ApiKey.objects.filter(alive, owner=owner, revoked_at=None).count() >= MOST_OF_A_USER:
        raise NotPossible(f"There are {MOST_OF_A_USER} keys already: revoke one first.")
    made, text = keys.create(owner, **values)
    if budget:
        budgets.bound_key(made.pk, budget, now)
    return made, text


@transaction.atomic
def change(key: ApiKey, now: datetime, *, actor: ApiKey | None, **values: Any) -> None:
    """Change `name`, `requests_per_minute` (None: the usual) and `budget` (None: no bound) where given."""
    _check(actor, key)
    if key.revoked_at is not None:
        raise NotPossible("The key is revoked.")
    if "budget" in values:
        budgets.bound_key(key.pk, values.pop("budget"), now)
    if values:
        ApiKey.objects.filter(pk=key.pk).update(**values)


def rotate(key: ApiKey, now: datetime, *, actor: ApiKey | None, overlap: timedelta = keys.USUAL_OVERLAP) -> str:
    """Give the key another text and return it; each key may do so to itself. Raises NotAllowed and NotPossible."""
    if actor is None or actor.pk != key.pk:
        _check(actor, key)
    text = keys.rotate(key, now, overlap=overlap)
    if text is None:
        raise NotPossible("The key is revoked, or was rotated at this very moment.")
    return text


def revoke(key: ApiKey, now: datetime, *, actor: ApiKey | None) -> None:
    """End a key for good; each key may end itself."""
    if actor is None or actor.pk != key.pk:
        _check(actor, key)
    keys.revoke(key, now)


def budget_of(key: ApiKey) -> Budget | None:
    """Return the enabled budget of a key; None: there is none."""
    return budgets.of_key(key.pk)


def _inherited(actor: ApiKey | None) -> tuple[str, ...]:
    return tuple(scope for scope in keys.USUAL_SCOPES if actor is None or scope in actor.scopes)


def _check(actor: ApiKey | None, wanted: ApiKey) -> None:
    """Raise NotAllowed where a key asks for what it could not do itself."""
    if actor is None:
        return
    if "keys" not in actor.scopes:
        raise NotAllowed("The API key does not have the scope for this.")
    if actor.requests_per_minute is not None or budgets.of_key(actor.pk):
        raise NotAllowed("A key that is bounded itself makes and changes no keys.")
    too_long = actor.expires_at is not None and (wanted.expires_at is None or wanted.expires_at > actor.expires_at)
    if set(wanted.scopes) - set(actor.scopes) or wanted.priority_ceiling < actor.priority_ceiling or too_long:
        raise NotAllowed("A key makes and changes only keys that may no more, and live no longer, than itself.")
