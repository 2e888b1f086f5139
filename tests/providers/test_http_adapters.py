"""The adapters that speak HTTP, against the simulator behind a real socket."""

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from providers import gateway
from providers.errors import BadRequest
from providers.types import Candidate, EmbeddingRequest
from tests.flows.client import eventually
from tests.providers.adapter_contract import AdapterContract
from tests.providers.calls import Call
from tests.providers.embedding_contract import EmbeddingContract


def ended(ledger_path: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in ledger_path.read_text().splitlines()]
    return [line for line in lines if line["event"] == "ended"]


class ServedContract(AdapterContract):
    """What holds beside the contract where the provider keeps books of its own."""

    provider = "alice-ai"
    adapter: str
    options: dict[str, Any] = {}

    @pytest.fixture(autouse=True)
    def _set_up(self, settings: Settings, simulator_url: str) -> None:
        url = simulator_url if self.adapter == "openai" else simulator_url.removesuffix("/v1")
        options = {"simulate": True, **self.options}
        settings.AI_PROVIDERS = {"alice-ai": {"adapter": self.adapter, "base_url": url, "options": options}}

    def test_cancelling_closes_the_connection_while_the_provider_is_silent(self, ledger_path: Path) -> None:
        call = Call("alice-ai", simulate={"fail": "stall"}, stream=False)
        eventually(lambda: ledger_path.exists() and "began" in ledger_path.read_text())

        call.future.cancel()

        eventually(lambda: len(ended(ledger_path)) == 1)
        assert ended(ledger_path)[0]["outcome"] == "disconnected"

    @pytest.mark.usefixtures("_hasty")
    @pytest.mark.parametrize("fail", ["", "cut", "bad_json", "rate_limited", "stall", "unavailable", "empty"])
    @pytest.mark.parametrize("fail_after_tokens", [0, 7])
    def test_our_bill_is_the_provider_s_bill(self, ledger_path: Path, fail: str, fail_after_tokens: int) -> None:
        script = {"fail": fail, "fail_after_tokens": fail_after_tokens, "output_tokens": 40}
        call = Call("alice-ai", "おはようございます、Alice", simulate=script)

        usage = call.bill()

        eventually(lambda: len(ended(ledger_path)) == 1)
        billed = ended(ledger_path)[0]
        assert (usage.total_input, usage.total_output) == (billed["input_tokens"], billed["output_tokens"])
        assert billed["request_id"] == "0197-alice.1"

    def test_the_provider_s_name_for_the_call_is_kept(self) -> None:
        assert len(Call("alice-ai").result().provider_request_id) > 8


class TestOpenAIAdapter(ServedContract, EmbeddingContract):
    adapter = "openai"


class TestOpenAIAdapterWithResponses(ServedContract):
    adapter = "openai"
    options = {"responses": True}


class TestAnthropicAdapter(ServedContract):
    adapter = "anthropic"

    def test_it_has_no_embeddings(self) -> None:
        future = gateway.start_embedding(Candidate("alice-ai", "sim-1"), EmbeddingRequest("", ("a",)))

        assert type(future.exception(10)) is BadRequest


class TestGeminiAdapter(ServedContract, EmbeddingContract):
    adapter = "gemini"
