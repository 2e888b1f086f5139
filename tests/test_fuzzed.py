"""Strangers' bytes, mutated: what reads them refuses in its own words, or takes them."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import fuzzing

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\x00", "\ud800", "stop", "length", "tool_calls", "error", "NaN", "1e999", "{", "x" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def recorded(name: str, kind: str) -> Any:
    path = fuzzing.PAYLOADS / f"{fuzzing.ANSWERS[name][1]}_{kind}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, inner in members for place in places(inner, (*path, name)))]


@st.composite
def mutated(draw: Any, original: Any) -> Any:
    """Draw a value like the original, with some of its parts replaced, or gone."""
    value = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(value)[1:]))
        holder = value
        for name in path[:-1]:
            holder = holder[name]
        if draw(st.booleans()) or not isinstance(holder, dict):
            holder[path[-1]] = draw(JSON)
        else:
            del holder[path[-1]]
        if not places(value)[1:]:
            break
    return value


@pytest.mark.parametrize("name", fuzzing.ANSWERS)
@given(data=st.data())
def test_a_strange_stream_is_refused_or_taken(name: str, data: st.DataObject) -> None:
    events = data.draw(mutated(recorded(name, "stream")))

    fuzzing.answer(name, [json.dumps(event) for event in events], is_whole=False)


@pytest.mark.parametrize("name", fuzzing.ANSWERS)
@given(data=st.data())
def test_a_strange_answer_is_refused_or_taken(name: str, data: st.DataObject) -> None:
    fuzzing.answer(name, [json.dumps(data.draw(mutated(recorded(name, "whole"))))], is_whole=True)


@given(value=JSON, noise=st.binary(max_size=20))
def test_a_strange_body_is_refused_or_taken(value: Any, noise: bytes) -> None:
    fuzzing.body(json.dumps(value).encode())
    fuzzing.body(json.dumps(value).encode() + noise)
    fuzzing.body(noise)


@given(value=JSON, noise=st.binary(max_size=20))
def test_a_strange_frame_is_refused_or_taken(value: Any, noise: bytes) -> None:
    fuzzing.frame(json.dumps(value).encode())
    fuzzing.frame(json.dumps({"type": value, "client_id": value}).encode())
    fuzzing.frame(noise)
