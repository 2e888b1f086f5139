"""JSON from strangers."""

import io
import json
import time
from typing import Any

import pytest

from ai_tasks.api import parsers
from ai_tasks.api.problems import Refused
from ai_tasks.errors import InvalidInput


class Tap(io.BytesIO):
    """Remembers how much was drawn."""

    drawn = 0

    def read(self, size: int | None = -1) -> bytes:
        """Read and count."""
        found = super().read(size)
        self.drawn += len(found)
        return found


def test_no_more_is_read_than_is_needed_to_know(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    tap = Tap(b"x" * 10_000)

    with pytest.raises(Refused) as refused:
        parsers.BoundedJSONParser().parse(tap)

    assert refused.value.problem.code == "payload_too_large"
    assert tap.drawn == 101


def test_a_body_of_exactly_the_bound_is_taken(settings: Any) -> None:
    body = json.dumps({"a": "x" * 92}).encode()
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = len(body)

    assert parsers.BoundedJSONParser().parse(io.BytesIO(body)) == {"a": "x" * 92}


@pytest.mark.parametrize("value", [None, True, 0, -(2**63) + 1, 2**63 - 1, 1e308, "", "襷", [], {}, [[{"a": [1]}]]])
def test_what_can_be_stored_is_returned_as_it_is(value: Any) -> None:
    assert parsers.load(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"a": {"b/c": ["x", "\\u0000"]}}', "/a/b~1c/1"),
        ('{"a": [1e400]}', "/a/0"),
        ('[{"\\udc00": 1}]', "/0/\ufffd"),
        ('{"a~": 9223372036854775808}', "/a~0"),
    ],
)
def test_what_cannot_is_pointed_at(text: str, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parsers.load(text)

    assert [mistake.pointer for mistake in refused.value.errors] == [pointer]


def test_only_the_first_twenty_mistakes_are_told() -> None:
    with pytest.raises(InvalidInput) as refused:
        parsers.load(json.dumps(["\x00"] * 1000))

    assert len(refused.value.errors) == 20


def test_depth_counts_to_thirty_two() -> None:
    parsers.load("[" * 32 + "]" * 32)

    with pytest.raises(InvalidInput):
        parsers.load("[" * 33 + "]" * 33)


def test_a_megabyte_of_small_things_is_looked_through_quickly() -> None:
    text = "[" + "1," * 499_998 + "1]"
    began = time.monotonic()

    parsers.load(text)

    assert time.monotonic() - began < 3
