"""The words of the queue: priorities, lanes, entry states and the moves between them."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Priority(models.IntegerChoices):
    """What is served first; smaller is sooner. In JSON the name in lower case."""

    URGENT = 0, _("urgent")
    HIGH = 1, _("high")
    NORMAL = 2, _("normal")
    LOW = 3, _("low")
    BULK = 4, _("bulk")

    @property
    def word(self) -> str:
        """The priority as it stands in JSON."""
        return self.name.lower()

    @classmethod
    def from_word(cls, word: str) -> "Priority":
        """Return the priority of that name; raises KeyError."""
        return cls[word.upper()] if word == word.lower() else cls[""]


class Lane(models.TextChoices):
    """Long work has its own Celery queue and at most half of a provider's slots."""

    DEFAULT = "default", _("default")
    LONG = "long", _("long")


class EntryState(models.TextChoices):
    """Where a live task's entry is; when the task ends the row goes."""

    WAITING = "waiting", _("waiting")
    """Runnable, in order."""
    PARKED = "parked", _("parked")
    """Refused by a gate of its own; woken by `parked_key` or at `parked_until`."""
    QUEUED = "queued", _("queued")
    """Handed to Celery under a dispatch id."""
    RUNNING = "running", _("running")
    """Leased to a worker until `leased_until`."""


ENTRY_MOVES: dict[EntryState, set[EntryState]] = {
    EntryState.WAITING: {EntryState.PARKED, EntryState.QUEUED, EntryState.RUNNING},
    EntryState.PARKED: {EntryState.WAITING},
    EntryState.QUEUED: {EntryState.RUNNING, EntryState.WAITING, EntryState.PARKED},
    EntryState.RUNNING: {EntryState.WAITING, EntryState.PARKED},
}

LIVE_AT_PROVIDER = (EntryState.QUEUED, EntryState.RUNNING)
"""States that use a provider's slots."""


class ParkedReason(models.TextChoices):
    """Why one entry may not run now although its provider may have room."""

    SCHEDULED = "scheduled", _("scheduled for later")
    """Its `run_at` has not come."""
    REDRIVE = "redrive", _("sent back, and held to a rate")
    """An operator sends many dead tasks back, so many a second."""
    RETRY_BACKOFF = "retry_backoff", _("waiting to be tried again")
    UNPRICED = "unpriced", _("price unknown")
    """Its model has no price, and its provider's policy or a budget asks for one."""
    BUDGET = "budget", _("budget used up")
    MODEL_LIMIT = "model_limit", _("limit of the model reached")
    CIRCUIT_OPEN = "circuit_open", _("its model is down")
    """The model failed too often, by itself, and the route has no other place."""
    EARLIER_REPLY = "earlier_reply", _("an earlier task of the same series is not done")
    USER_SHARE = "user_share", _("the user's share is in use")
    UNSATISFIABLE = "unsatisfiable", _("larger than the provider's limit")
