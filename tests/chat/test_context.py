"""What of a conversation goes into a prompt."""

import pytest
from django.conf import LazySettings

from ai_tasks.models_on_offer import count_tokens
from ai_tasks.task_types.base import Message
from chat import context

SYSTEM = [Message("system", "Be brief.")]
TURNS = [Message(role, f"{role} {place} " + "x" * 260) for place in range(6) for role in ("user", "assistant")]
ONE = count_tokens(TURNS[:1])
"""Tokens of a turn."""


def sent(room: int, turns: list[Message] = TURNS) -> list[str]:
    return [" ".join(str(turn.content).split()[:2]) for turn in context.fitting(SYSTEM, turns, room)]


def test_everything_is_sent_where_there_is_room() -> None:
    assert context.fitting(SYSTEM, TURNS, 100 * ONE) == [*SYSTEM, *TURNS]


def test_the_instructions_the_first_turn_and_the_newest_ones_are_kept() -> None:
    assert sent(5 * ONE) == ["Be brief.", "user 0", "assistant 4", "user 5", "assistant 5"]


@pytest.mark.parametrize("room", range(0, 14 * ONE, ONE // 2))
def test_it_fits_and_has_no_gap_but_one(room: int) -> None:
    found = context.fitting(SYSTEM, TURNS, room)

    places = [TURNS.index(turn) for turn in found[1:]]
    kept = places[1:] if places[0] == 0 else places
    assert kept == list(range(kept[0], len(TURNS)))
    assert count_tokens(found) <= max(room, count_tokens([*SYSTEM, TURNS[-1]]))


def test_the_newest_turn_is_sent_even_when_it_alone_is_too_long() -> None:
    assert sent(10, [Message("user", "much " * 9_000)]) == ["Be brief.", "much much"]


def test_a_first_turn_that_takes_half_of_the_room_is_left_out() -> None:
    long = [Message("user", "first long " + "x" * 2_000), *TURNS]

    assert "first long" not in sent(6 * ONE, long)


def test_nothing_said_is_a_prompt_of_instructions() -> None:
    assert context.fitting(SYSTEM, [], 100) == SYSTEM


def test_a_models_published_window_bounds_prompt_and_reply(providers_ready: None, settings: LazySettings) -> None:
    settings.AI_CHAT_CONTEXT_TOKENS = 1_000_000

    assert context.room_tokens("simulator/gpt-4") == 8_192 - context.output_tokens("simulator/gpt-4")
    assert context.output_tokens("simulator/gpt-4") == 2_048
    assert context.room_tokens("simulator/gpt-4o") == 128_000 - 4_096
    assert context.room_tokens("simulator/nobody-knows-it") == context.UNKNOWN_WINDOW - 4_096


def test_the_setting_bounds_a_prompt_however_large_the_window(providers_ready: None, settings: LazySettings) -> None:
    settings.AI_CHAT_CONTEXT_TOKENS = 5_000

    assert context.room_tokens("simulator/gemini-2.5-flash") == 5_000
