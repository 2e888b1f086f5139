"""The most that a call may cost, what a task's own bound leaves of it, and who refuses a call that has no price."""

from datetime import datetime
from decimal import Decimal

from ai_tasks.accounts.fields import to_quantum
from providers import gateway
from providers.types import Candidate, Unpriced


def bound_usd(candidate: Candidate, input_tokens: int, output_tokens: int, at: datetime) -> Decimal | None:
    """Return the most that such a call can cost, to be held for it; None: unpriced."""
    bound = gateway.bound_usd(candidate, input_tokens, output_tokens, at)
    return None if bound is None else to_quantum(bound)


def is_refused(provider: str, bound: Decimal | None, *, has_budgets: bool) -> bool:
    """Does the provider's policy refuse a call of this bound? Only one without a price; by default, under a budget."""
    if bound is not None:
        return False
    policy = gateway.unpriced(provider)
    return policy == Unpriced.REFUSE or (policy != Unpriced.ALLOW and has_budgets)


def affordable_output(candidate: Candidate, input_tokens: int, cap: int, left: Decimal, at: datetime) -> int | None:
    """
    Return how many tokens of output, at most `cap`, fit into the money that is left beside the input.

    None: not even one does where some are wanted, or the model has no price, so that nothing bounds it.
    """
    of_input, with_one = (gateway.bound_usd(candidate, input_tokens, output, at) for output in (0, min(1, cap)))
    if of_input is None or with_one is None or with_one > left:
        return None
    by_token = with_one - of_input
    return cap if by_token == 0 else min(cap, int((left - of_input) // by_token))
