"""Keys, and messages that must not hold them."""

import pytest

from providers.keys import scrubbed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Incorrect API key provided: sk-proj-abc***xyz.", "Incorrect API key provided: [key]"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: [key]"),
        ("gsk_0123456789 and xai-0123456789", "[key] and [key]"),
        ("custom:secret-of-alice!", "custom:[key]!"),
        ("a task-list is no key, nor is ask-me", "a task-list is no key, nor is ask-me"),
    ],
)
def test_keys_are_taken_out(text: str, expected: str) -> None:
    assert scrubbed(text, "secret-of-alice") == expected


def test_a_message_is_one_bounded_line() -> None:
    assert scrubbed("a\r\n b\x00" + "c" * 1000) == "a b\ufffd" + "c" * 496
