"""Which places of a route can take a task at all: by their context windows, and by the route's price ceiling."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from ai_tasks.accounts import bounds
from ai_tasks.accounts.fields import plain_usd
from ai_tasks.errors import ContextWindowTooSmall, Mistake, NoCandidate
from providers.types import Candidate, Place, Route
from queueing.entries import Estimate

CONTEXT_WINDOW, PRICE_CEILING, UNPRICED = "context_window", "price_ceiling", "unpriced"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A place that was left out, and why."""

    provider: str
    model: str
    reason: str
    detail: str


def choose(route: Route, estimate: Estimate, now: datetime) -> tuple[list[Candidate], list[dict[str, str]]]:
    """
    Return the places that can take so many tokens, in order, and those that were left out, as they are stored.

    Raises ContextWindowTooSmall or NoCandidate, with every place's reason, where none is left.
    """
    found, skipped = [], []
    for place in route.places:
        if objection := _objection(route, place, estimate, now):
            skipped.append(objection)
        else:
            found.append(place.candidate)
    if not found:
        raise _refusal(skipped)
    return found, [asdict(each) for each in skipped]


def _objection(route: Route, place: Place, estimate: Estimate, now: datetime) -> Skipped | None:
    where, tokens = place.candidate, estimate.input_tokens + estimate.max_output_tokens
    if place.window_tokens is not None and tokens > place.window_tokens:
        detail = (
            f"it takes {place.window_tokens} tokens; the input is estimated at {estimate.input_tokens}, and its answer "
            f"may have {estimate.max_output_tokens}"
        )
        return Skipped(where.provider, where.model, CONTEXT_WINDOW, detail)
    if route.max_usd_per_call is None:
        return None
    cost = bounds.bound_usd(where, *estimate, now)
    if cost is None:
        return Skipped(where.provider, where.model, UNPRICED, "it has no known price, and the route has a ceiling")
    if cost > route.max_usd_per_call:
        detail = f"a call may cost {plain_usd(cost)} USD; the route allows {plain_usd(route.max_usd_per_call)}"
        return Skipped(where.provider, where.model, PRICE_CEILING, detail)
    return None


def _refusal(skipped: Sequence[Skipped]) -> ContextWindowTooSmall | NoCandidate:
    why = "; ".join(f"{each.provider}/{each.model}: {each.detail}" for each in skipped)
    if all(each.reason == CONTEXT_WINDOW for each in skipped):
        detail = f"The input is too long for every model it could go to; shorten it, or lower max_output_tokens. {why}."
        return ContextWindowTooSmall(detail, errors=(Mistake("/input", "too long for the model"),))
    detail = f"No place of the route can take this; shorten it, lower max_output_tokens, or name another model. {why}."
    return NoCandidate(detail, errors=(Mistake("/model", "no place of the route can take this"),))
