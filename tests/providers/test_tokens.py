"""Tokens, counted by us."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import gateway, tokens
from providers.types import AnswerFormat, Image, Message, Tool, ToolCall, UsageSource
from tests.providers import servers

TEXTS = servers.payload("token_counts")["texts"]


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


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case["name"])
def test_natural_text_is_never_reserved_too_little_for(case: dict[str, Any]) -> None:
    reserved = gateway.estimate_input_tokens([Message("user", case["text"])])

    assert reserved >= max(case["tokens"].values())
    assert reserved >= tokens.count(case["text"])


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case["name"])
def test_an_answer_that_nobody_counted_is_not_counted_too_low(case: dict[str, Any]) -> None:
    assert gateway.count_usage([], case["text"]).output_tokens + 1 >= max(case["tokens"].values()) * 0.95


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case["name"])
def test_what_the_estimate_does_not_reach_is_still_not_reached(case: dict[str, Any]) -> None:
    assert all(tokens.estimate(case["text"]) < count for count in case["beyond"].values())


@given(st.text(), st.text())
def test_hostile_text_is_at_most_2_8_times_the_estimate(text: str, more: str) -> None:
    size = len(text.encode("utf-8", "replace"))

    assert tokens.estimate(text) * 14 >= size * 5
    assert tokens.estimate(text) >= tokens.count(text)
    assert tokens.estimate(text + more) <= tokens.estimate(text) + tokens.estimate(more)


def test_pictures_tools_calls_and_the_form_of_the_answer_count() -> None:
    plain = [Message("user", "What is this?")]
    estimate = gateway.estimate_input_tokens
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "襷" * 100}}}

    with_picture = estimate([Message("user", ("What is this?", Image("image/png", "iVBORw0=")))])
    with_tool = estimate(plain, tools=[Tool("get_weather", "Tells the weather.", schema)])
    with_two = estimate(plain, tools=[Tool("get_weather", "Tells the weather.", schema), Tool("b", "", {})])
    with_format = estimate(plain, answer_format=AnswerFormat(schema))
    with_call = estimate([*plain, Message("assistant", "", (ToolCall("call_1", "get_weather", '{"city": "京都"}'),))])

    assert with_picture == estimate(plain) + 5_000
    assert with_tool > estimate(plain) + 600 + 166
    assert with_two > with_tool + 16
    assert with_format > estimate(plain) + 300 + 166
    assert with_call > estimate(plain) + 20
