"""Server-sent events, cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters.sse import LONGEST_EVENT_BYTES, SseDecoder
from providers.errors import MalformedAnswer

LINES = st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12), min_size=1, max_size=3)


def decoded(data: bytes, cuts: list[int]) -> list[str]:
    decoder = SseDecoder()
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    parts = [data[begin:end] for begin, end in pairwise(places)]
    return [event for part in parts for event in decoder.feed(part)] + decoder.flush()


@given(
    events=st.lists(LINES, max_size=4),
    ending=st.sampled_from([b"\n", b"\r", b"\r\n"]),
    space=st.sampled_from([b"", b" "]),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_events_survive_any_cut(events: list[list[str]], ending: bytes, space: bytes, cuts: list[int]) -> None:
    said = b""
    for lines in events:
        said += b": comment" + ending + b"event: message" + ending + b"id: 5" + ending
        said += b"".join(b"data:" + space + line.encode() + ending for line in lines) + ending

    found = decoded(said, cuts)

    bare = ["\n".join(line if space else line.removeprefix(" ") for line in lines) for lines in events]
    assert found == bare


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 10_000), max_size=5))
def test_any_bytes_give_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assert decoded(data, cuts) == decoded(data, [])


def test_a_byte_order_mark_is_left_out() -> None:
    assert decoded(b"\xef\xbb\xbfdata: a\n\n", [1, 2]) == ["a"]


def test_fields_that_only_look_like_data_are_left_out() -> None:
    assert decoded(b"database: 1\ndata\ndatas: x\n\n", []) == [""]


@pytest.mark.parametrize("part", [b"x" * 65_536, b"data: " + b"x" * 65_000 + b"\n"])
def test_an_endless_event_is_refused(part: bytes) -> None:
    decoder = SseDecoder()
    whole = part * (LONGEST_EVENT_BYTES // len(part) + 2)

    with pytest.raises(MalformedAnswer):
        decoder.feed(whole)


def test_an_endless_event_in_many_parts_is_refused() -> None:
    decoder = SseDecoder()
    room = LONGEST_EVENT_BYTES // 1024

    assert [decoder.feed(b"x" * 1024) for _ in range(room)] == [[]] * room
    with pytest.raises(MalformedAnswer):
        decoder.feed(b"x" * 1024)
