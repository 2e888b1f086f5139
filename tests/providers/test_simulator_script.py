"""The simulator's script, and what it says by itself."""

import pytest

from providers import tokens
from providers.adapters import simulator_answers, simulator_script
from providers.errors import BadRequest
from providers.types import Message


@pytest.mark.parametrize(
    ("script", "mention"),
    [
        ({"latency": 5}, "latency_ms"),
        ({5: 5}, "5"),
        ([], "object"),
        ("fail", "object"),
        ({"seed": "7"}, "seed"),
        ({"seed": True}, "seed"),
        ({"text": 5}, "text"),
        ({"text": "x" * 1_000_001}, "text"),
        ({"output_tokens": -1}, "output_tokens"),
        ({"output_tokens": 1.5}, "output_tokens"),
        ({"output_tokens": 10**400}, "output_tokens"),
        ({"latency_ms": float("nan")}, "latency_ms"),
        ({"latency_ms": float("inf")}, "latency_ms"),
        ({"latency_ms": None}, "latency_ms"),
        ({"tokens_per_second": "fast"}, "tokens_per_second"),
        ({"fail": "everything"}, "rate_limited"),
        ({"fail": ["cut"]}, "fail"),
        ({"fail_times": -1}, "fail_times"),
        ({"fail_after_tokens": "2"}, "fail_after_tokens"),
        ({"retry_after_seconds": -1}, "retry_after_seconds"),
    ],
)
def test_a_wrong_script_is_refused_with_what_to_mend(script: object, mention: str) -> None:
    with pytest.raises(BadRequest, match=mention):
        simulator_script.parse(script)


@pytest.mark.parametrize("script", [None, {}, {"seed": -(10**30)}, {"fail": ""}, {"tokens_per_second": 0}])
def test_a_right_script_is_taken(script: object) -> None:
    assert simulator_script.parse(script).failure("0197.1") == ""


@pytest.mark.parametrize(
    ("request_id", "fails"),
    [("0197.1", True), ("0197.2", True), ("0197.3", False), ("", True), ("0197.x", True), ("0197.²", True)],
)
def test_the_attempt_is_the_end_of_the_request_id(request_id: str, fails: bool) -> None:
    script = simulator_script.parse({"fail": "cut", "fail_times": 2})

    assert bool(script.failure(request_id)) is fails


@pytest.mark.parametrize("size", [0, 1, 2, 3, 50, 4096])
def test_made_up_words_have_the_asked_length(size: int) -> None:
    assert tokens.count(simulator_answers.filler(size, (Message("user", "Good morning"),), None)) == size


def test_another_seed_gives_another_answer() -> None:
    turns = (Message("user", "Good morning"),)

    answers = {simulator_answers.answer(turns, seed) for seed in range(20)}

    assert len(answers) > 3
    assert all("Good morning" in answer for answer in answers)


def test_it_answers_the_last_thing_that_the_user_said() -> None:
    turns = (Message("user", "Good morning"), Message("assistant", "Hello"), Message("user", "リレーとは何"))

    answer = simulator_answers.answer(turns, None)

    assert "「リレーとは何」" in answer
    assert "模擬応答" in answer
