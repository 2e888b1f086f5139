"""The simulator in this process."""

import pytest
from pytest_django import Settings

from providers.types import FinishReason
from tests.providers.adapter_contract import AdapterContract
from tests.providers.calls import Call
from tests.providers.embedding_contract import EmbeddingContract


class TestSimulatorAdapter(AdapterContract, EmbeddingContract):
    provider = "simulator"

    @pytest.fixture(autouse=True)
    def _set_up(self, settings: Settings) -> None:
        settings.AI_PROVIDERS = {"simulator": {"adapter": "simulator"}}


def test_a_default_answer_takes_well_under_a_second_and_can_be_watched() -> None:
    call = Call("simulator", "Explain leases, please")

    completion = call.result()

    assert "“Explain leases, please”" in completion.text
    assert 40 <= completion.usage.output_tokens <= 85
    assert len(call.deltas) > 20


@pytest.mark.parametrize("prompt", ["", " ", "*`<>[]#|\\~", "🏃‍♀️" * 100, "\ud800", "{topic} %s"])
def test_any_prompt_is_answered(prompt: str) -> None:
    assert Call("simulator", prompt).result().text


def test_two_hundred_calls_wait_at_the_same_time() -> None:
    calls = [Call("simulator", simulate={"latency_ms": 300, "output_tokens": 2}) for _ in range(200)]

    assert {call.result().usage.output_tokens for call in calls} == {2}


def test_an_answer_ends_before_a_stop_sequence() -> None:
    completion = Call("simulator", simulate={"text": "One. Two. Three."}, stop=("Three", "Two")).result()

    assert (completion.text, completion.finish_reason) == ("One. ", FinishReason.STOP)
