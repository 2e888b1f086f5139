"""What a caller may name as `model`, and how much it takes: a door for apps that do not see the providers."""

from collections.abc import Iterable

from ai_tasks.errors import Mistake, UnknownModel
from providers import gateway, routing
from providers.types import Message


def models_on_offer() -> list[tuple[str, str]]:
    """Return (id, label) of the routes' aliases, then of the models that are known and priced."""
    return [(choice.id, choice.label) for choice in routing.models()]


def require_model(model: str) -> None:
    """Raise UnknownModel when no task could be submitted with this model."""
    try:
        routing.resolve(model)
    except routing.UnknownModel as error:
        raise UnknownModel(str(error), errors=(Mistake("/model", "unknown"),)) from error


def window_tokens(model: str) -> int | None:
    """Return how many tokens fit into whatever that name stands for, input and output; None: it is not published."""
    try:
        return routing.window_tokens(model)
    except routing.UnknownModel:
        return None


def takes_pictures(model: str) -> bool:
    """Return False when all that this name stands for are known to read text alone."""
    try:
        return routing.takes_pictures(model)
    except routing.UnknownModel:
        return True


def count_tokens(messages: Iterable[Message]) -> int:
    """Return how many tokens these turns are, rather too many than too few."""
    return gateway.estimate_input_tokens(messages)
