"""What a caller may name as `model`: a door for apps that do not see the providers."""

from ai_tasks.errors import Mistake, UnknownModel
from providers import routing


def models_on_offer() -> list[tuple[str, str]]:
    """Return (id, label) of the routes' aliases, then of the models that are known and priced."""
    return [(choice.id, choice.label) for choice in routing.models()]


def require_model(model: str) -> None:
    """Raise UnknownModel when no task could be submitted with this model."""
    try:
        routing.resolve(model)
    except routing.UnknownModel as error:
        raise UnknownModel(str(error), errors=(Mistake("/model", "unknown"),)) from error
