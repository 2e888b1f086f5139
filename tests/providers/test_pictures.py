"""Which models are known to take no pictures."""

import pytest

from providers.pictures import takes_pictures


@pytest.mark.parametrize(
    "model",
    ["gpt-4", "gpt-3.5-turbo", "o3-mini-2025-01-31", "deepseek-chat", "llama3.1:8b", "openai/gpt-4", "CodeLlama"],
)
def test_these_read_text_alone(model: str) -> None:
    assert not takes_pictures(model)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "gpt-4.1-mini",
        "gpt-5",
        "o3",
        "claude-sonnet-4-5",
        "gemini-2.5-pro",
        "llama3.2-vision",
        "sim-1",
        "mine",
    ],
)
def test_these_and_the_unknown_may_be_asked(model: str) -> None:
    assert takes_pictures(model)
