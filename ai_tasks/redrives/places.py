"""Where a dead task goes when it is sent back, or why it does not."""

from typing import NamedTuple

from ai_tasks.errors import Mistake, UnknownModel
from ai_tasks.states import REVIVABLE
from providers import routing
from providers.types import Candidate
from queueing.models import Redrive


class Standing(NamedTuple):
    """What counts of a task; the status None: it is deleted or gone."""

    status: str | None
    route: list[list[str]]
    position: int


class Place(NamedTuple):
    """A candidate of a route."""

    route: list[list[str]]
    position: int

    @property
    def candidate(self) -> Candidate:
        """Whom that is."""
        return Candidate(*self.route[self.position])


class PassedOver(Exception):
    """The letter is not sent; says why."""


def refuse_unknown(provider: str) -> None:
    """Raise UnknownModel unless it is `same`, `fallback`, a configured provider, or `provider/model` of one."""
    if provider in (Redrive.SAME, Redrive.FALLBACK, *routing.slugs()):
        return
    try:
        routing.resolve(provider if "/" in provider else "")
    except routing.UnknownModel as error:
        detail = "Neither same, fallback, a configured provider, nor provider/model of one."
        raise UnknownModel(detail, errors=(Mistake("/provider", "unknown"),)) from error


def place(task: Standing, provider: str) -> Place:
    """Return where a dead task would wait; raises PassedOver."""
    if task.status is None:
        raise PassedOver("Its task is deleted.")
    if task.status not in REVIVABLE:
        raise PassedOver(f"Its task is {task.status}.")
    found = _target(task.route, task.position, provider)
    if found.candidate.provider not in routing.slugs():
        raise PassedOver(f"The provider {found.candidate.provider} is not set up.")
    return found


def _target(route: list[list[str]], position: int, provider: str) -> Place:
    name, _, model = provider.partition("/")
    if provider == Redrive.SAME:
        return Place(route, position)
    if provider == Redrive.FALLBACK:
        if position + 1 >= len(route):
            raise PassedOver("Its route has no further candidate.")
        return Place(route, position + 1)
    for index, (candidate, its_model) in enumerate(route):
        if candidate == name and model in ("", its_model):
            return Place(route, index)
    if not model:
        raise PassedOver(f"Its route has no model of {name}; name one as {name}/MODEL.")
    # A task that was bound to one model stays bound to one; others keep their candidates as fallbacks.
    return Place([[name, model], *(route if len(route) > 1 else [])], 0)
