"""What of a conversation goes into a prompt: as much as fits into the model's window, what matters most first."""

from collections.abc import Sequence

from django.conf import settings

from ai_tasks.models_on_offer import count_tokens, window_tokens
from ai_tasks.task_types.base import Message
from ai_tasks.task_types.text import DEFAULT_MAX_OUTPUT_TOKENS

UNKNOWN_WINDOW = 32_000
"""Tokens; for models whose window is not published."""


def output_tokens(model: str) -> int:
    """Return how long a reply may be: the usual, but never more than a quarter of the window."""
    return min(DEFAULT_MAX_OUTPUT_TOKENS, _window(model) // 4)


def room_tokens(model: str) -> int:
    """Return how many tokens a prompt may have."""
    return min(settings.AI_CHAT_CONTEXT_TOKENS, _window(model) - output_tokens(model))


def _window(model: str) -> int:
    return window_tokens(model) or UNKNOWN_WINDOW


def fitting(instructions: Sequence[Message], turns: Sequence[Message], room: int) -> list[Message]:
    """
    Return the instructions and those of the turns, oldest first, that fit into so many tokens.

    The newest turn is always there: if it alone is too long, the model shall say so. The first one, which says what it
    is all about, is kept unless it would take half of the room. The others go newest first, without a gap.
    """
    if not turns:
        return [*instructions]
    first, between, newest = turns[0], turns[1:-1], turns[-1]
    room -= count_tokens([*instructions, newest])
    pinned = [first] if len(turns) > 1 and count_tokens([first]) <= room // 2 else []
    room -= count_tokens(pinned)
    kept: list[Message] = []
    for turn in reversed(between):
        room -= count_tokens([turn])
        if room < 0:
            break
        kept.append(turn)
    return [*instructions, *pinned, *reversed(kept), newest]
