"""Tokens, counted by us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import gateway, tokens
from providers.types import Message, UsageSource


@pytest.mark.parametrize(("text", "expected"), [("", 0), ("a", 1), ("a" * 28, 10), ("襷" * 14, 15), ("\ud800", 1)])
def test_a_token_is_2_8_bytes(text: str, expected: int) -> None:
    assert tokens.count(text) == expected


def test_a_prompt_counts_its_texts_and_its_frame() -> None:
    assert gateway.estimate_input_tokens([Message("system", "a" * 28), Message("user", "")]) == 18


@given(st.text())
def test_pieces_are_the_text_token_by_token(text: str) -> None:
    found = list(tokens.pieces(text))

    whole = text.encode("utf-8", "replace").decode()
    assert "".join(piece for _, piece in found) == whole
    assert [so_far for so_far, _ in found] == sorted({so_far for so_far, _ in found})
    assert not found or found[-1][0] == tokens.count(text)


@given(st.text(), st.integers(-2, 40))
def test_a_prefix_is_never_more_than_asked_for(text: str, size: int) -> None:
    prefix = tokens.prefix(text, size)

    assert tokens.count(prefix) <= max(0, size)
    assert text.encode("utf-8", "replace").decode().startswith(prefix)


def test_a_cancelled_call_can_be_counted() -> None:
    usage = gateway.count_usage([Message("user", "a" * 28)], "b" * 14)

    assert (usage.total_input, usage.total_output, usage.source) == (14, 5, UsageSource.ESTIMATED)


def test_a_call_that_said_nothing_is_an_estimate() -> None:
    assert gateway.count_usage([Message("user", "a")], "").source == UsageSource.ESTIMATED
