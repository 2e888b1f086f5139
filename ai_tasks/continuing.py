"""Where a route says so, an answer that broke off is gone on with at the next attempt, instead of begun anew."""

from typing import Any, NamedTuple

from ai_tasks.states import ChunkKind
from ai_tasks.task_types import registry
from ai_tasks.task_types.base import Prompt
from providers import gateway
from providers.types import AfterCut, Candidate, Message

BROKE_OFF = (
    "stream_cut",
    "timeout",
    "first_token_timeout",
    "idle_timeout",
    "unavailable",
    "overloaded",
    "rate_limited",
    "worker_lost",
)
"""Errors after which what was said still stands."""


class Begun(NamedTuple):
    """What was said so far, and how much may follow."""

    text: str
    max_output_tokens: int


def taken_up(task: Any, max_output_tokens: int) -> Begun | None:
    """
    Return what the task's next attempt goes on from; None: it begins anew.

    Only plain text is gone on with, and only where the candidate's models do so. What was said becomes input, and its
    room is taken from the output: the tokens reserved, and the money held, stay a bound.
    """
    if task.route_policy.get("after_cut") != AfterCut.CONTINUE:
        return None
    if (task.error or {}).get("code", "worker_lost") not in BROKE_OFF:
        return None
    if not gateway.continues(Candidate(task.provider, task.model)) or not _is_plain(task):
        return None
    pieces = _since_reset(task)
    text = "".join(piece.data for piece in pieces)
    # Vendors refuse a beginning that ends in white space, and without it the words would run together.
    if not text or text != text.rstrip() or any(piece.kind != ChunkKind.TEXT for piece in pieces):
        return None
    left = max_output_tokens - gateway.estimate_input_tokens([Message("assistant", text)])
    return Begun(text, left) if left > 0 else None


def said_before(task: Any, epoch: int) -> str:
    """Return what earlier attempts said and this one went on from."""
    if epoch == 1 or task.route_policy.get("after_cut") != AfterCut.CONTINUE:
        return ""
    return "".join(piece.data for piece in _since_reset(task) if piece.epoch < epoch)


def _is_plain(task: Any) -> bool:
    try:
        prompt = registry.get(task.type).build(task)
    except Exception:  # a host's code: whoever makes the call finds it out again, and says so
        return False
    return isinstance(prompt, Prompt) and not (prompt.tools or prompt.answer_format)


def _since_reset(task: Any) -> list[Any]:
    pieces = list(task.chunks.model.objects.after(task.pk, 0))
    resets = [place for place, piece in enumerate(pieces) if piece.kind == ChunkKind.RESET]
    return pieces[resets[-1] + 1 :] if resets else pieces
