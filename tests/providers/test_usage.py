"""Usage in disjoint buckets, for every shape in which vendors tell it."""

from typing import Any

import pytest

from providers.adapters import anthropic, gemini, openai_wire
from providers.types import Usage
from tests.providers import servers

NONSENSE = [-1, True, "5", 10**30, 1.5, None, [], {}]


def usage_of(form: str, said: Any) -> Usage | None:
    if form == "responses":
        return openai_wire.usage_of(said, prompt="input", completion="output")
    return {"chat": openai_wire, "anthropic": anthropic, "gemini": gemini}[form].usage_of(said)


@pytest.mark.parametrize("case", servers.payload("usage"), ids=lambda case: case["from"])
def test_the_buckets_add_up_to_the_vendor_s_total(case: dict[str, Any]) -> None:
    usage = usage_of(case["format"], case["said"])

    assert usage is not None
    plain, read, written, written_1h, visible, reasoning = case["buckets"]
    assert usage == Usage(plain, read, written, visible, reasoning, cache_write_1h_tokens=written_1h)
    assert usage.total == case["total"]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize(
    ("form", "name", "other"),
    [
        ("chat", "prompt_tokens", "completion_tokens"),
        ("responses", "input_tokens", "output_tokens"),
        ("anthropic", "input_tokens", "output_tokens"),
        ("gemini", "promptTokenCount", "candidatesTokenCount"),
    ],
)
def test_usage_that_makes_no_sense_is_no_usage(form: str, name: str, other: str, nonsense: Any) -> None:
    assert usage_of(form, {name: nonsense, other: 2}) is None


@pytest.mark.parametrize("case", servers.payload("usage"), ids=lambda case: case["from"])
@pytest.mark.parametrize("nonsense", NONSENSE)
def test_no_detail_makes_a_bucket_negative_or_larger_than_the_whole(case: dict[str, Any], nonsense: Any) -> None:
    said = {name: nonsense if isinstance(value, dict) else value for name, value in case["said"].items()}
    inner = {
        name: dict.fromkeys(value, 10**6) if isinstance(value, dict) else value for name, value in case["said"].items()
    }

    for changed in (said, inner):
        usage = usage_of(case["format"], changed)
        assert usage is not None
        assert min(usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) >= 0
        assert min(usage.cache_write_1h_tokens, usage.output_tokens, usage.reasoning_tokens) >= 0
        assert usage.total == case["total"]
