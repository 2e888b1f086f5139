"""The adapter for OpenAI-compatible servers, against the simulator behind a real socket."""

import json
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.providers.adapter_contract import PATIENCE, AdapterContract, wait_until
from tests.providers.calls import Call


@pytest.fixture(autouse=True)
def _set_up(settings: Settings, simulator_url: str) -> None:
    options = {**PATIENCE, "simulate": True}
    settings.AI_PROVIDERS = {"alice-ai": {"adapter": "openai", "base_url": simulator_url, "options": options}}


class TestOpenAIAdapter(AdapterContract):
    provider = "alice-ai"


def ended(ledger_path: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in ledger_path.read_text().splitlines()]
    return [line for line in lines if line["event"] == "ended"]


def test_cancelling_closes_the_connection_while_the_provider_is_silent(ledger_path: Path) -> None:
    call = Call("alice-ai", simulate={"fail": "stall"}, stream=False)
    wait_until(lambda: ledger_path.exists() and "began" in ledger_path.read_text())

    call.future.cancel()

    wait_until(lambda: len(ended(ledger_path)) == 1)
    assert ended(ledger_path)[0]["outcome"] == "disconnected"


@pytest.mark.parametrize("fail", ["", "cut", "bad_json", "rate_limited", "stall", "unavailable", "empty"])
@pytest.mark.parametrize("fail_after_tokens", [0, 7])
def test_our_bill_is_the_provider_s_bill(ledger_path: Path, fail: str, fail_after_tokens: int) -> None:
    script = {"fail": fail, "fail_after_tokens": fail_after_tokens, "output_tokens": 40}
    call = Call("alice-ai", "おはようございます、Alice", simulate=script)

    usage = call.bill()

    wait_until(lambda: len(ended(ledger_path)) == 1)
    billed = ended(ledger_path)[0]
    assert (usage.total_input, usage.total_output) == (billed["input_tokens"], billed["output_tokens"])
    assert billed["request_id"] == "0197-alice.1"
