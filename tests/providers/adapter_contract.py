"""What every adapter must do; each adapter's test class inherits it and sets `provider` up."""

import pytest
from pytest_django import Settings

from providers.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentRefused,
    ContextWindowExceeded,
    EmptyAnswer,
    FirstTokenTimeout,
    IdleTimeout,
    MalformedAnswer,
    ModelNotFound,
    Overloaded,
    PermissionRefused,
    QuotaExhausted,
    RateLimited,
    StreamCut,
    TotalTimeout,
    Unavailable,
)
from providers.types import DeltaKind, FinishReason, Usage, UsageSource
from tests.flows.client import eventually
from tests.providers.calls import Call
from tests.providers.conversation_contract import ConversationContract

HASTE = {"first_token_seconds": 1.5, "idle_seconds": 1.5}
"""The options of a provider that stands still; every other has the adapters' own patience."""

TURNED_AWAY = {
    "rate_limited": RateLimited,
    "overloaded": Overloaded,
    "unavailable": Unavailable,
    "authentication_failed": AuthenticationFailed,
    "refusal": ContentRefused,
    "context_window_exceeded": ContextWindowExceeded,
    "bad_request": BadRequest,
    "permission_refused": PermissionRefused,
    "model_not_found": ModelNotFound,
    "quota_exhausted": QuotaExhausted,
}
BROKEN = {"cut": StreamCut, "bad_json": MalformedAnswer, "empty": EmptyAnswer}
FAILURES = [*TURNED_AWAY.items(), *BROKEN.items()]


class AdapterContract(ConversationContract):
    """Run against a provider `self.provider` that plays the simulator's scripts."""

    provider: str

    @pytest.fixture
    def _hasty(self, settings: Settings, _set_up: None) -> None:
        given = settings.AI_PROVIDERS[self.provider]
        settings.AI_PROVIDERS = {self.provider: {**given, "options": {**given.get("options", {}), **HASTE}}}

    def test_it_streams_the_whole_answer_in_pieces(self) -> None:
        call = Call(self.provider, simulate={"text": "襷をつなぐ relay 🏃‍♀️ " * 5, "tokens_per_second": 0})

        completion = call.result()

        assert completion.text == call.said() == "襷をつなぐ relay 🏃‍♀️ " * 5
        assert completion.finish_reason == FinishReason.STOP
        assert len(call.deltas) > 10

    def test_it_answers_the_same_without_streaming(self) -> None:
        streamed = Call(self.provider, simulate={"seed": 7}).result()

        whole = Call(self.provider, simulate={"seed": 7}, stream=False)

        assert whole.result().text == streamed.text
        assert len(whole.deltas) == 1

    def test_it_answers_the_same_for_the_same_prompt(self) -> None:
        assert Call(self.provider).result().text == Call(self.provider).result().text

    def test_it_mentions_a_japanese_prompt(self) -> None:
        assert "襷とは何ですか" in Call(self.provider, "襷とは何ですか").result().text

    @pytest.mark.parametrize("stream", [True, False])
    def test_it_tells_the_usage_that_the_provider_says(self, stream: bool) -> None:
        usage = Call(self.provider, stream=stream, simulate={"output_tokens": 30}).result().usage

        assert usage == Usage(input_tokens=9, output_tokens=30, source=UsageSource.PROVIDER)

    def test_it_stops_at_the_output_cap(self) -> None:
        completion = Call(self.provider, max_output_tokens=10, simulate={"output_tokens": 30}).result()

        assert completion.truncated
        assert completion.usage.output_tokens == 10

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(("fail", "expected"), FAILURES)
    def test_it_names_a_failure(self, fail: str, expected: type[Exception], stream: bool) -> None:
        error = Call(self.provider, stream=stream, simulate={"fail": fail}).error()

        assert error.partial == ""
        assert type(error) is expected

    @pytest.mark.parametrize("fail", [*TURNED_AWAY, "cut", "bad_json"])
    def test_it_names_a_failure_in_the_middle_and_bills_what_came(self, fail: str) -> None:
        call = Call(self.provider, simulate={"fail": fail, "fail_after_tokens": 12, "output_tokens": 40})

        error = call.error()

        assert error.partial == call.said() != ""
        assert type(error) is (TURNED_AWAY | BROKEN)[fail]
        assert (call.bill().total_input, call.bill().output_tokens) == (9, 12)

    @pytest.mark.parametrize("fail", TURNED_AWAY)
    def test_a_call_that_was_turned_away_is_billed_nothing(self, fail: str) -> None:
        error = Call(self.provider, simulate={"fail": fail}).error()

        assert error.usage.total == 0

    def test_it_passes_on_how_long_to_wait(self) -> None:
        error = Call(self.provider, simulate={"fail": "rate_limited", "retry_after_seconds": 2.5}).error()

        assert error.retry_after_seconds == 2.5

    def test_only_the_first_attempts_fail_when_the_script_says_so(self) -> None:
        script = {"fail": "overloaded", "fail_times": 2}

        second = Call(self.provider, request_id="0197-bob.2", simulate=script).error()
        third = Call(self.provider, request_id="0197-bob.3", simulate=script).result()

        assert isinstance(second, Overloaded)
        assert third.text

    @pytest.mark.usefixtures("_hasty")
    def test_no_first_token_is_a_timeout_of_its_own(self) -> None:
        call = Call(self.provider, simulate={"fail": "stall"})

        assert type(call.error()) is FirstTokenTimeout
        assert call.bill().total_input == 9

    @pytest.mark.usefixtures("_hasty")
    def test_standing_still_is_a_timeout_of_its_own(self) -> None:
        call = Call(self.provider, simulate={"fail": "stall", "fail_after_tokens": 5, "output_tokens": 40})

        error = call.error()

        assert type(error) is IdleTimeout
        assert error.partial == call.said() != ""
        assert call.bill().output_tokens == 5

    @pytest.mark.parametrize("stream", [True, False])
    def test_the_total_time_is_bounded(self, stream: bool) -> None:
        call = Call(
            self.provider,
            stream=stream,
            total_timeout_seconds=0.5,
            simulate={"output_tokens": 400, "tokens_per_second": 50},
        )

        assert type(call.error()) is TotalTimeout

    @pytest.mark.usefixtures("_hasty")
    def test_slow_but_steady_output_is_no_timeout(self) -> None:
        call = Call(self.provider, simulate={"output_tokens": 25, "tokens_per_second": 10})

        assert call.result().usage.output_tokens == 25

    def test_what_cannot_be_stored_is_replaced(self) -> None:
        completion = Call(self.provider, simulate={"text": "a\x00b\ud800c"}).result()

        assert completion.text == "a\ufffdb\ufffdc"

    def test_a_script_it_does_not_understand_is_a_bad_request(self) -> None:
        error = Call(self.provider, simulate={"latency": 5}).error()

        assert type(error) is BadRequest
        assert "latency_ms" in str(error)

    def test_cancelling_ends_the_call_at_once(self) -> None:
        call = Call(self.provider, simulate={"output_tokens": 400, "tokens_per_second": 20})
        eventually(lambda: bool(call.deltas))

        call.future.cancel()
        seen = len(call.deltas)
        later = Call(self.provider, simulate={"output_tokens": 8, "tokens_per_second": 20})

        assert later.result().usage.output_tokens == 8
        assert len(call.deltas) <= seen + 1

    def test_it_brings_only_text(self) -> None:
        call = Call(self.provider)

        call.result()

        assert {delta.kind for delta in call.deltas} == {DeltaKind.TEXT}
