"""Tool calls, put together from fragments."""

import pytest

from providers.errors import BadRequest, MalformedAnswer
from providers.tool_calls import MOST_CALLS, ToolCalls, arguments_of, delta
from providers.types import Delta, DeltaKind, ToolCall


def test_fragments_of_several_calls_may_be_mixed() -> None:
    calls = ToolCalls.of(
        [
            delta(1, id="b", name="get_time"),
            delta(0, id="a", name="get_weather", arguments='{"city":'),
            Delta(DeltaKind.TEXT, "Let me look."),
            delta(1, arguments="{}"),
            delta(0, id="a", name="get_weather", arguments=' "京都"}', signature="c2ln"),
        ]
    )

    assert calls.whole() == (
        ToolCall("a", "get_weather", '{"city": "京都"}', "c2ln"),
        ToolCall("b", "get_time", "{}"),
    )


def test_what_is_missing_is_filled_in() -> None:
    assert ToolCalls.of([delta(5, name="get_time")]).whole() == (ToolCall("call_0", "get_time", "{}"),)


def test_a_call_without_a_name_is_malformed() -> None:
    with pytest.raises(MalformedAnswer):
        ToolCalls.of([delta(0, id="a", arguments="{}")]).whole()


def test_there_are_only_so_many_calls() -> None:
    with pytest.raises(MalformedAnswer):
        ToolCalls.of(delta(index, name="get_time") for index in range(MOST_CALLS + 1))


@pytest.mark.parametrize("arguments", ["[]", "1", "null", "{", "[" * 50_000])
def test_arguments_that_are_no_object_are_the_request_s_fault(arguments: str) -> None:
    with pytest.raises(BadRequest):
        arguments_of(ToolCall("a", "get_time", arguments))
