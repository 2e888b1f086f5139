"""What every adapter carries: conversations, pictures, tools, reasoning, forms of answers, usage."""

import json

import pytest

from providers import gateway
from providers.errors import MalformedAnswer
from providers.types import AnswerFormat, DeltaKind, FinishReason, Image, Message, Tool, ToolCall, Usage, UsageSource
from tests.providers.calls import Call

PICTURE = Image(
    "image/png", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER = Tool(
    "get_weather",
    "Tells the weather of a place.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CONVERSATION = (
    Message("system", "Answer in Japanese."),
    Message(
        "user", ("What is this? ", PICTURE, " And what is at this address?", Image("", url="https://a.example/b.png"))
    ),
    Message("assistant", "A picture.", (ToolCall("call_a", "get_weather", '{"city": "京都"}'),)),
    Message("tool", "晴れ", tool_call_id="call_a"),
    Message("assistant", "It is sunny."),
    Message("user", "襷を渡してください"),
)
PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "size": {"$ref": "#/$defs/size"}},
    "required": ["city", "size"],
    "additionalProperties": False,
    "$defs": {"size": {"enum": ["small", "large"]}},
}


class ConversationContract:
    """Run against a provider `self.provider` that plays the simulator's scripts."""

    provider: str

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_whole_conversation_reaches_the_provider(self, stream: bool) -> None:
        wanted = AnswerFormat(PLACE)
        call = Call(self.provider, messages=CONVERSATION, tools=(WEATHER,), answer_format=wanted, stream=stream)

        usage = call.result().usage

        assert usage.total_input == gateway.estimate_input_tokens(CONVERSATION, tools=(WEATHER,), answer_format=wanted)
        assert usage.source == UsageSource.PROVIDER

    def test_the_last_turn_is_what_is_answered(self) -> None:
        assert "襷を渡してください" in Call(self.provider, messages=CONVERSATION).result().text

    @pytest.mark.parametrize("stream", [True, False])
    def test_tool_calls_are_passed_through(self, stream: bool) -> None:
        wanted = [{"name": "get_weather", "arguments": {"city": "京都"}}, {"name": "get_time"}]
        call = Call(self.provider, tools=(WEATHER,), stream=stream, simulate={"tool_calls": wanted})

        completion = call.result()

        assert completion.finish_reason == FinishReason.TOOL_CALLS
        assert [found.name for found in completion.tool_calls] == ["get_weather", "get_time"]
        assert [json.loads(found.arguments) for found in completion.tool_calls] == [{"city": "京都"}, {}]
        assert all(found.id for found in completion.tool_calls)
        assert {delta.kind for delta in call.deltas} == {DeltaKind.TOOL_CALL}

    @pytest.mark.parametrize("choice", ["auto", "none", "required", "get_weather"])
    def test_a_choice_of_tools_can_be_made(self, choice: str) -> None:
        assert Call(self.provider, tools=(WEATHER,), tool_choice=choice).result().text

    @pytest.mark.parametrize("stream", [True, False])
    def test_reasoning_is_kept_apart(self, stream: bool) -> None:
        call = Call(self.provider, stream=stream, simulate={"reasoning": "Let me think. ", "text": "襷"})

        completion = call.result()

        assert (completion.text, call.said(DeltaKind.REASONING)) == ("襷", "Let me think. ")
        assert completion.usage == Usage(input_tokens=9, output_tokens=2, reasoning_tokens=5)

    @pytest.mark.parametrize("stream", [True, False])
    def test_usage_is_in_disjoint_buckets(self, stream: bool) -> None:
        script = {"cached_tokens": 4, "reasoning": "a" * 28, "output_tokens": 20}

        usage = Call(self.provider, stream=stream, simulate=script).result().usage

        assert usage == Usage(input_tokens=5, cache_read_tokens=4, output_tokens=20, reasoning_tokens=10)
        assert usage.total == 39

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_provider_that_does_not_tell_is_estimated(self, stream: bool) -> None:
        usage = Call(self.provider, stream=stream, simulate={"usage": False, "output_tokens": 20}).result().usage

        assert usage == Usage(input_tokens=9, output_tokens=20, source=UsageSource.ESTIMATED)

    @pytest.mark.parametrize("stream", [True, False])
    def test_an_answer_is_of_the_form_that_was_wanted(self, stream: bool) -> None:
        completion = Call(self.provider, answer_format=AnswerFormat(PLACE), stream=stream).result()

        assert json.loads(completion.text) == {"city": "text", "size": "small"}

    @pytest.mark.parametrize("text", ["Gladly!", '{"city": "京都"}', '{"city": 5, "size": "small"}', "[" * 9000])
    def test_an_answer_of_another_form_is_malformed_and_billed(self, text: str) -> None:
        call = Call(
            self.provider,
            answer_format=AnswerFormat(PLACE),
            max_output_tokens=5000,
            simulate={"text": text, "tokens_per_second": 0},
        )

        assert type(call.error()) is MalformedAnswer
        assert call.error().partial == text
        assert call.bill().source == UsageSource.PROVIDER
        assert call.bill().total > 0

    def test_an_answer_that_was_cut_is_not_held_to_its_form(self) -> None:
        call = Call(
            self.provider, answer_format=AnswerFormat(PLACE), max_output_tokens=3, simulate={"text": '{"city": "京都"}'}
        )

        assert call.result().truncated
