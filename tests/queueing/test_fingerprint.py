"""Mishaps that differ only in what varies are one; others are not."""

import time
from uuid import uuid4

import pytest

from queueing.dead_letters.fingerprint import fingerprint, shape

SAME = {
    "numbers": ("It took 31.5 s for 1,024 tokens.", "It took 2 s for 7 tokens."),
    "uuids": (f"Request {uuid4()} failed.", f"Request {uuid4()} failed."),
    "hex": ("At 0x7f3a in deadbeefcafe.", "At 0x11 in 00c0ffee00bad."),
    "ids": ("Message msg_01XAbc of req-9f is gone.", "Message msg_2 of req-123456 is gone."),
    "times": ("Down since 2026-11-23T06:00:00.123+09:00.", "Down since 2025-01-02T13:59:59Z."),
    "addresses": ("POST https://api.example.com/v1/x?a=b failed", "POST http://localhost:8000/ failed"),
    "double quotes": ('No model "gpt-large" here.', 'No model "the other one" here.'),
    "single quotes": ("Field 'input' isn't known.", "Field 'messages' isn't known."),
    "Japanese quotes": ("項目「入力」が不正です。", "項目「出力」が不正です。"),
    "white space": ("It  hung\nup.", "It hung up."),
}
OTHER = {
    "words": ("It did not answer.", "It hung up."),
    "Japanese around a number": ("要求12が失敗", "接続12が失敗"),
    "apostrophes": ("It doesn't know what it can't do.", "It doesn't say what it can't do."),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_what_varies_does_not_count(one: str, other: str) -> None:
    assert fingerprint("unavailable", one) == fingerprint("unavailable", other), (shape(one), shape(other))


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER)
def test_what_was_said_counts(one: str, other: str) -> None:
    assert fingerprint("unavailable", one) != fingerprint("unavailable", other), shape(one)


def test_the_error_class_counts() -> None:
    assert fingerprint("unavailable", "No.") != fingerprint("overloaded", "No.")


@pytest.mark.parametrize(
    "message",
    ["", "x" * 100_000, "1" * 100_000, "“" * 100_000, "'a" * 50_000, "a-" * 50_000, "1.a" * 30_000, "\ud800", "🏃"],
)
def test_any_message_has_a_fingerprint_soon(message: str) -> None:
    began = time.perf_counter()

    assert len(fingerprint("unavailable", message)) == 40

    assert len(shape(message)) <= 300
    assert time.perf_counter() - began < 1
